"""The linear predictor of a linear network against the least norm of any separator."""

from solvers.predictor.answer import predictor_answer
from solvers.predictor.margin import hard_margin_svm

__all__ = ["hard_margin_svm", "predictor_answer"]
