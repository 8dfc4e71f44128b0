"""Problem 1 of any net, handed to SCIP for spatial branch and bound in floating point.

Nothing in here proves anything: SCIP accepts constraints that are violated a little, and its bounds
are not rounded. Importing this package loads PySCIPOpt, so it is imported where it is needed.
"""

from solvers.spatial.model import Model
from solvers.spatial.search import TOLERANCE, Found, SolverFailure, search

__all__ = ["TOLERANCE", "Found", "Model", "SolverFailure", "search"]
