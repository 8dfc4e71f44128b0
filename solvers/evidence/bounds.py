"""Lower bounds as the certificate writes them: the rule by name, and its numbers.

Each writer takes the record and returns the fields that the checker's rule of that name reads, or
None where the record does not hold enough for an exact proof.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from solvers.certificate import GlobalLowerBound, LocalLowerBound
from solvers.evidence import trees
from solvers.evidence.curved import curved_cells
from solvers.evidence.filters import filter_tree
from solvers.evidence.points import Written
from solvers.evidence.supports import support_tree
from solvers.evidence.units import Json, Units, numbers
from solvers.evidence.weighted import weighted_margin
from solvers.problem import Problem

GlobalWriter = Callable[[GlobalLowerBound, Problem], Json | None]
LocalWriter = Callable[[LocalLowerBound, Problem], Json | None]


def _alpha(claim: GlobalLowerBound | LocalLowerBound, problem: Problem) -> Json:
    """The weights on the examples alone."""
    del problem
    return {"alpha": numbers(claim.alpha)}


GLOBAL_WRITERS: Mapping[str, GlobalWriter] = {
    "svm-dual": _alpha,
    "group-norm-dual": _alpha,
    "psd-dual": _alpha,
    "support-tree": support_tree,
    "filter-tree": filter_tree,
    "weighted-margin": weighted_margin,
    "neuron-dual": trees.one_leaf,
    "sign-tree": trees.sign_tree,
}

LOCAL_WRITERS: Mapping[str, LocalWriter] = {
    "curved-cells": curved_cells,
    "frozen-pattern-dual": _alpha,
    "sign-cells": trees.one_leaf,
    "sign-tree": trees.sign_tree,
}


def global_lower_bound(claim: GlobalLowerBound, problem: Problem, units: Units) -> Written | None:
    """The bound, rounded down, and the evidence of its rule."""
    writer = GLOBAL_WRITERS.get(claim.rule)
    evidence = None if writer is None else writer(claim, problem)
    if evidence is None:
        return None
    said = {"claim": "global_lower_bound", "value": units.squared(claim.value, up=False)}
    return said, {"rule": claim.rule, **evidence}


def local_lower_bound(claim: LocalLowerBound, problem: Problem, units: Units) -> Written | None:
    """The bound and the radius, rounded down, and the evidence of its rule."""
    writer = LOCAL_WRITERS.get(claim.rule)
    evidence = None if writer is None else writer(claim, problem)
    if evidence is None:
        return None
    said = {
        "claim": "local_lower_bound",
        "radius": units.length(claim.radius, up=False),
        "value": units.squared(claim.value, up=False),
    }
    center = {} if claim.center is None else {"center": numbers(claim.center)}
    return said, {"rule": claim.rule, **center, **evidence}
