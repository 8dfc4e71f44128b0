"""The tree over the regions of filters, in preorder."""

from __future__ import annotations

from typing import Any

from solvers.certificate import FilterBlock, FilterLeaf, FilterSplit, GlobalLowerBound
from solvers.evidence.units import Json, numbers
from solvers.problem import Problem


def filter_tree(claim: GlobalLowerBound, problem: Problem) -> Json:
    """Splits, and leaves with their weights and what proves each distinct region."""
    del problem
    leaves = iter(claim.filters)
    return {"tree": [_leaf(next(leaves)) if s is None else _split(s) for s in claim.filter_splits]}


def _split(split: FilterSplit) -> Json:
    found: Json = {"filter": split.filter + 1}
    if split.plane is not None:
        return {**found, "plane": split.plane + 1}
    assert split.cut is not None
    return {**found, "cut": numbers(split.cut)}


def _leaf(leaf: FilterLeaf) -> Json:
    distinct: dict[Any, FilterBlock] = {}
    for block in leaf.blocks:
        cuts = tuple(map(tuple, block.cuts.tolist()))
        distinct.setdefault((block.kind, block.signs, cuts), block)
    return {"alpha": numbers(leaf.alpha), "regions": [_region(b) for b in distinct.values()]}


def _region(block: FilterBlock) -> Json:
    pairs = zip(block.products.tolist(), block.pairs.tolist(), strict=True)
    return {
        "deficit": float(block.deficit),
        "pairs": [[k + 1, m + 1, weight] for (k, m), weight in pairs],
        "equations": numbers(block.equations),
    }
