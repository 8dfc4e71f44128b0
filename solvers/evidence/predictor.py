"""Claims in predictor space, as the certificate writes them.

Norms are those of the user's predictor: an internal one times 2**(-shift m), m the depth.
"""

from __future__ import annotations

import numpy as np

from solvers.certificate import (
    PredictorBetterPoint,
    PredictorDescentWitness,
    PredictorLocalBound,
    PredictorLowerBound,
)
from solvers.evidence.points import Written
from solvers.evidence.units import Json, Units, counted, numbers, rows
from solvers.problem import Problem


def predictor_lower_bound(claim: PredictorLowerBound, problem: Problem, _: Units) -> Written:
    """By weights on the examples or, where there are none, by all vertices."""
    value = _units(problem).length(claim.value, up=False)
    said = {"claim": "predictor_lower_bound", "norm": claim.norm, "value": value}
    if not claim.alpha.size:
        return said, {"rule": "vertices"}
    return said, {"rule": "dual-norm", "alpha": numbers(claim.alpha)}


def predictor_better_point(claim: PredictorBetterPoint, problem: Problem, _: Units) -> Written:
    """A better separator; its norm is rounded up."""
    value = _units(problem).length(float(np.nextafter(claim.value, np.inf)), up=True)
    said: Json = {"claim": "predictor_better_point", "norm": claim.norm, "value": value}
    return said, {"predictor": numbers(claim.better)}


def predictor_local_bound(claim: PredictorLocalBound, problem: Problem, _: Units) -> Written:
    """The bound and the radius, rounded down."""
    units = _units(problem)
    said: Json = {
        "claim": "predictor_local_bound",
        "norm": claim.norm,
        "radius": units.length(claim.radius, up=False),
        "value": units.length(claim.value, up=False),
    }
    return said, {
        "center": numbers(claim.center),
        "examples": counted(claim.examples),
        "weights": numbers(claim.weights),
        "inverse": rows(claim.inverse),
    }


def predictor_descent_witness(
    claim: PredictorDescentWitness, problem: Problem, _: Units
) -> Written:
    """Separators at falling distances."""
    del problem
    said = {"claim": "predictor_descent_witness", "norm": claim.norm}
    return said, {"points": rows(np.array(claim.points))}


def _units(problem: Problem) -> Units:
    """Predictors are products of m layers' parameters."""
    return Units(problem.shift * problem.network.depth)
