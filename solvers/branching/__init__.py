"""Branch and bound over the signs of all neurons at once (depth 2, ReLU, no sharing)."""

from __future__ import annotations

from solvers.branching.regions import Node, Region, canonical
from solvers.branching.relaxation import Data, Pattern
from solvers.branching.tree import Found, Hints, Leaf, Limits, Step, branch_and_bound
from solvers.branching.unlimited import unlimited_width

__all__ = [
    "Data",
    "Found",
    "Hints",
    "Leaf",
    "Limits",
    "Node",
    "Pattern",
    "Region",
    "Step",
    "branch_and_bound",
    "canonical",
    "unlimited_width",
]
