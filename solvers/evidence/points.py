"""Claims about points, and about multipliers, as the certificate writes them."""

from __future__ import annotations

import numpy as np

from solvers.certificate import (
    BetterPoint,
    DescentWitness,
    Feasible,
    Infeasible,
    Kkt,
    LayerBetterPoint,
    NotKkt,
    SubgradientColumn,
)
from solvers.evidence.units import Json, Units, counted, numbers
from solvers.problem import Problem

Written = tuple[Json, Json]
"""A claim of the statement, and its evidence."""


def feasible(_: Feasible, problem: Problem, units: Units) -> Written:
    """Nothing beyond the point itself."""
    del problem, units
    return {"claim": "feasible"}, {}


def infeasible(claim: Infeasible, problem: Problem, units: Units) -> Written:
    """The examples whose margins are not positive (level 0) or below 1 (level 1)."""
    del problem, units
    return {
        "claim": "infeasible",
        "level": claim.level,
        "examples": counted(claim.examples),
    }, {}


def kkt(claim: Kkt, problem: Problem, units: Units) -> Written:
    """Weighted subgradients."""
    del problem, units
    said = {"claim": "kkt", "eps": claim.eps, "delta": claim.delta, "kink": claim.kink}
    return said, {"columns": [_column(column) for column in claim.columns]}


def _column(column: SubgradientColumn) -> Json:
    kinks = [[layer + 1, neuron + 1, float(slope)] for layer, neuron, slope in column.slopes]
    found: Json = {"example": column.example + 1, "weight": column.weight, "kinks": kinks}
    if column.direction is not None and kinks:
        found["direction"] = numbers(column.direction)
    return found


def not_kkt(claim: NotKkt, problem: Problem, units: Units) -> Written:
    """A direction and a price."""
    del problem, units
    said = {"claim": "not_kkt", "eps": claim.eps, "delta": claim.delta, "kink": claim.kink}
    return said, {"direction": numbers(claim.direction), "price": float(claim.price)}


def better_point(claim: BetterPoint, problem: Problem, units: Units) -> Written:
    """A lower feasible point; its objective is rounded up."""
    del problem
    value = float(np.nextafter(claim.value, np.inf))
    said = {"claim": "better_point", "value": units.squared(value, up=True)}
    return said, {"point": numbers(claim.better)}


def layer_better_point(claim: LayerBetterPoint, problem: Problem, units: Units) -> Written:
    """The layer's own parameters of a lower feasible point."""
    value = float(np.nextafter(claim.value, np.inf))
    said = {
        "claim": "layer_better_point",
        "layer": claim.layer + 1,
        "value": units.squared(value, up=True),
    }
    return said, {"layer": numbers(claim.better[problem.network.slices[claim.layer]])}


def descent_witness(claim: DescentWitness, problem: Problem, units: Units) -> Written:
    """Points at falling distances: all parameters, or those of one layer."""
    del units
    part = slice(None) if claim.layer is None else problem.network.slices[claim.layer]
    said: Json = {"claim": "descent_witness"}
    if claim.layer is not None:
        said["layer"] = claim.layer + 1
    shown: Json = {"points": [numbers(point[part]) for point in claim.points]}
    if claim.center is not None:
        shown["center"] = numbers(claim.center)
        shown["columns"] = [_column(column) for column in claim.columns]
    return said, shown
