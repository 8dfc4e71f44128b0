"""Gradient flow and gradient descent, from an initialisation to the verdict on the limit."""

from solvers.flow.options import FlowSettings
from solvers.flow.result import FlowResult
from solvers.flow.run import gradient_descent, gradient_flow

__all__ = ["FlowResult", "FlowSettings", "gradient_descent", "gradient_flow"]
