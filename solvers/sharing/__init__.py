"""Depth-2 nets with shared weights: semidefinite bounds, branched over signs and directions."""

from __future__ import annotations

from solvers.sharing.cover import Division, Leaf
from solvers.sharing.filters import Filter, filters_of
from solvers.sharing.program import BlockProof
from solvers.sharing.regions import Region
from solvers.sharing.tree import Found, branch_and_bound

__all__ = [
    "BlockProof",
    "Division",
    "Filter",
    "Found",
    "Leaf",
    "Region",
    "branch_and_bound",
    "filters_of",
]
