"""The whole certificate: a statement that the requester can compare, and its evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from solvers.certificate import (
    BetterPoint,
    Claim,
    DescentWitness,
    Feasible,
    GlobalLowerBound,
    Infeasible,
    Kkt,
    LayerBetterPoint,
    LayerCellsBound,
    LayerLowerBound,
    LocalLowerBound,
    NotKkt,
    PredictorBetterPoint,
    PredictorDescentWitness,
    PredictorLocalBound,
    PredictorLowerBound,
)
from solvers.evidence import bounds, layers, points, predictor
from solvers.evidence.points import Written
from solvers.evidence.units import Json, Units, rows
from solvers.options import Options
from solvers.problem import Problem

FORMAT = "margincert/1"

Writer = Callable[[Any, Problem, Units], Written | None]

WRITERS: Mapping[type, Writer] = {
    Feasible: points.feasible,
    Infeasible: points.infeasible,
    Kkt: points.kkt,
    NotKkt: points.not_kkt,
    BetterPoint: points.better_point,
    LayerBetterPoint: points.layer_better_point,
    DescentWitness: points.descent_witness,
    GlobalLowerBound: bounds.global_lower_bound,
    LocalLowerBound: bounds.local_lower_bound,
    LayerLowerBound: layers.layer_lower_bound,
    LayerCellsBound: layers.layer_cells_bound,
    PredictorLowerBound: predictor.predictor_lower_bound,
    PredictorBetterPoint: predictor.predictor_better_point,
    PredictorLocalBound: predictor.predictor_local_bound,
    PredictorDescentWitness: predictor.predictor_descent_witness,
}


def written(claim: Claim, problem: Problem) -> Written | None:
    """One claim and its evidence, or None where it has no exact form."""
    writer = WRITERS.get(type(claim))
    return None if writer is None else writer(claim, problem, Units(problem.shift))


def certificate(
    problem: Problem, user_point: Any, options: Options, entries: Sequence[Written]
) -> Json:
    """The certificate of some claims about ``user_point`` (p, in the user's units)."""
    return {
        "format": FORMAT,
        "statement": statement(problem, user_point, options, [said for said, _ in entries]),
        "unit": problem.shift,
        "evidence": [evidence for _, evidence in entries],
    }


def statement(problem: Problem, user_point: Any, options: Options, claims: Sequence[Json]) -> Json:
    """The problem, the point, the tolerances of the verdict, and what is claimed."""
    network = problem.network
    inputs = np.ldexp(problem.x[:, : network.input_size], problem.shift * network.depth)
    return {
        "problem": {
            "network": network.to_dict(),
            "dataset": {"x": rows(inputs), "y": [int(label) for label in problem.y]},
        },
        "point": [part.tolist() for part in network.unflatten(user_point)],
        "tolerances": {"gap": options.gap_tolerance, "resolution": options.resolution},
        "claims": list(claims),
    }
