"""The exact KKT point close to a nearly-KKT one, found by adding equalities only."""

from solvers.refinement.finding import Refinement
from solvers.refinement.refine import refine

__all__ = ["Refinement", "refine"]
