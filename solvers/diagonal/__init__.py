"""Diagonal nets of any depth: the least sum |b_k|^(2/m), by branching on boxes of b."""

from __future__ import annotations

from solvers.diagonal.boxes import Box, Features
from solvers.diagonal.tree import Found, least_power_sum

__all__ = ["Box", "Features", "Found", "least_power_sum"]
