"""From findings to the answer's body: the user's units, plain JSON types, references for arrays.

``id`` is ``cert_`` + SHA-256 of the canonical JSON (sorted keys, no spaces, shortest round-trip
floats) of the answer without ``id`` and ``timings``; where the answer refers to its own arrays,
the id inside their addresses is written ``{id}`` for the hash, and each reference carries the
array's own SHA-256.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from solvers.findings import (
    Answer,
    FeasiblePoint,
    GlobalFinding,
    LayerFinding,
    LocalFinding,
    PredictorFinding,
)
from solvers.options import Options
from solvers.problem import Problem
from solvers.refinement import Refinement
from solvers.stationarity import KktFinding, KktReport

Vector = NDArray[np.float64]
Json = dict[str, Any]

INLINE_LIMIT = 10_000
"""Vectors of more numbers than this are given by reference (option ``vectors``: auto)."""
_KINK_LIMIT = 10_000


@dataclass
class Writer:
    """Writes findings of ``problem`` as JSON values, collecting large arrays by name."""

    problem: Problem
    options: Options
    arrays: dict[str, NDArray[np.float64]] = field(default_factory=dict)

    @property
    def unit(self) -> float:
        """Factor from internal lengths to the user's."""
        return float(np.ldexp(1.0, -self.problem.shift))

    @property
    def square(self) -> float:
        """Factor from internal squares (objective, multipliers) to the user's."""
        return self.problem.squared_unit

    def vector(self, name: str, values: NDArray[np.float64]) -> Any:
        """A list, a reference, or null, as the option ``vectors`` says."""
        mode = self.options.vectors
        if mode == "none" and values.size > INLINE_LIMIT:
            return None
        if mode == "inline" or values.size <= INLINE_LIMIT:
            return values.tolist()
        return self._reference(name, values)

    def _reference(self, name: str, values: NDArray[np.float64]) -> Json:
        self.arrays[name] = values
        return reference(name, values)

    def parameters(self, name: str, theta: Vector) -> Any:
        """A point in internal units, shaped like ``parameters``."""
        return self.user_parameters(name, self.problem.to_user(theta))

    def user_parameters(self, name: str, theta: Vector) -> Any:
        """A point in the user's units, or a unit direction, shaped like ``parameters``."""
        mode = self.options.vectors
        parts = self.problem.network.unflatten(theta)
        if theta.size <= INLINE_LIMIT or mode == "inline":
            return [part.tolist() for part in parts]
        if mode == "none":
            return None
        return [self._reference(f"{name}-{k + 1}", part) for k, part in enumerate(parts)]

    def refinement(self, finding: Refinement | None) -> Json | None:
        """The field ``refinement``; null where it was not asked for."""
        return None if finding is None else finding.to_dict(self.unit)

    def kkt(self, finding: KktFinding, theta: Vector, report: KktReport | None = None) -> Json:
        """The field ``kkt``; its ``report`` is null where other questions were asked too."""
        norm = float(np.linalg.norm(finding.residual_vector))
        theta_norm = float(np.linalg.norm(theta))
        parts = self.problem.network.slices
        direction = finding.direction
        return {
            "answer": finding.answer.value,
            "multipliers": self.vector("multipliers", finding.multipliers * self.square),
            "unique": finding.unique,
            "residual": norm * self.unit,
            "relative_residual": norm / theta_norm if theta_norm > 0.0 else 0.0,
            "complementarity": finding.complementarity * self.square,
            "layer_residuals": [
                float(np.linalg.norm(finding.residual_vector[p])) * self.unit for p in parts
            ],
            "kinks": [
                {
                    "layer": k.layer + 1,
                    "neuron": k.neuron + 1,
                    "example": k.example + 1,
                    "slope": k.slope,
                }
                for k in finding.slopes[:_KINK_LIMIT]
            ],
            "kink_count": finding.kinks.count,
            "goldstein_radius": finding.kinks.goldstein_radius * self.unit,
            "descent_direction": None
            if direction is None
            else self.user_parameters("descent-direction", direction),
            "reason": finding.reason,
            "report": None if report is None else self._report(report, finding.multipliers),
        }

    def _report(self, found: KktReport, multipliers: Vector) -> Json:
        """Descriptive numbers beside the answer; examples, layers and neurons count from 1."""
        return {
            "support": found.support,
            "effective_support": found.effective_support,
            "direction_cosine": found.direction_cosine,
            "normalized_margin": found.normalized_margin * self.unit**-self.problem.network.depth,
            "layer_shares": list(found.layer_shares),
            "neuron_balance": [
                {
                    "layer": b.layer + 1,
                    "neuron": b.neuron + 1,
                    "difference": b.difference,
                    "typical": b.typical,
                }
                for b in found.neurons
            ],
            "binding_examples": [
                {
                    "example": b.example + 1,
                    "margin": b.margin,
                    "multiplier": float(multipliers[b.example]) * self.square,
                }
                for b in found.binding
            ],
            "candidates": found.candidates,
            "trade_off": None
            if found.trade_off is None
            else [
                {"complementarity": pair.delta, "relative_residual": pair.eps}
                for pair in found.trade_off
            ],
        }

    def local(self, finding: LocalFinding, name: str = "witness") -> Json:
        """The field ``local`` (also of a layer)."""
        return {
            "answer": finding.answer.value,
            "method": finding.method,
            "radius": _scaled(finding.radius, self.unit),
            "slack": _scaled(finding.slack, self.square),
            "witness": [self._point(f"{name}-{k + 1}", w) for k, w in enumerate(finding.witness)],
            "robust_radius": _scaled(finding.robust_radius, self.unit),
            "reason": finding.reason,
        }

    def _point(self, name: str, point: FeasiblePoint) -> Json:
        return {
            "point": self.parameters(name, point.theta),
            "distance": point.distance * self.unit,
            "objective": point.objective * self.square,
        }

    def global_(self, finding: GlobalFinding, objective: float, name: str = "better-point") -> Json:
        """The field ``global`` (also of a layer); ``objective`` in internal units."""
        bound, better = finding.lower_bound, finding.better
        numerical = finding.numerical
        gap = None
        if bound is not None and objective > 0.0:
            gap = max(0.0, (objective - bound) / objective)
        return {
            "answer": finding.answer.value,
            "method": finding.method,
            "lower_bound": _scaled(bound, self.square),
            "gap": gap,
            "better_point": None if better is None else self.parameters(name, better.theta),
            "better_objective": None if better is None else better.objective * self.square,
            "numerical": None
            if numerical is None
            else {
                "answer": numerical.answer.value,
                "lower_bound": numerical.lower_bound * self.square,
                "solver": numerical.solver,
                "tolerance": numerical.tolerance,
            },
            "history": self._history(finding, objective),
            "reason": finding.reason,
        }

    def _history(self, finding: GlobalFinding, objective: float) -> list[Json] | None:
        """How the bound was searched for; no row says more than what stands proved beside it."""
        proved = finding.lower_bound
        if not finding.history or proved is None:
            return None
        least = objective if finding.better is None else finding.better.objective
        return [
            {
                "nodes": row.nodes,
                "lower_bound": min(row.bound, proved) * self.square,
                "incumbent": max(row.incumbent, least) * self.square,
            }
            for row in finding.history
        ]

    def layers(self, findings: Sequence[LayerFinding], theta: Vector) -> list[Json]:
        """The field ``layers``."""
        written = []
        for finding in findings:
            part = theta[self.problem.network.slices[finding.layer - 1]]
            objective = 0.5 * float(part @ part)
            name = f"layer-{finding.layer}"
            written.append(
                {
                    "layer": finding.layer,
                    "local": self.local(finding.local, f"{name}-witness"),
                    "global": self.global_(finding.global_, objective, f"{name}-better-point"),
                }
            )
        return written

    def predictor(self, finding: PredictorFinding) -> Json:
        """The field ``predictor``; beta maps the user's inputs to outputs."""
        factor = float(np.ldexp(1.0, -self.problem.shift * self.problem.network.depth))
        return {
            "norm": finding.norm,
            "p": finding.p,
            "beta": self.vector("beta", finding.beta * factor),
            "objective": finding.objective * factor,
            "optimum": _scaled(finding.optimum, factor),
            "lower_bound": _scaled(finding.lower_bound, factor),
            "local": finding.local.value,
            "global": finding.global_.value,
            "reason": finding.reason,
        }


def unanswered(reason: str) -> Json:
    """The fields kkt, local, global of an answer that did not come to them, and the verdict."""
    numbers = ("multipliers", "unique", "residual", "relative_residual", "complementarity")
    unknown = {"answer": Answer.UNKNOWN.value, "reason": reason}
    kkt: Json = {
        **unknown,
        **dict.fromkeys((*numbers, "layer_residuals", "goldstein_radius", "descent_direction")),
        "report": None,
        "kinks": [],
        "kink_count": 0,
    }
    local: Json = {
        **unknown,
        **dict.fromkeys(("method", "radius", "slack", "robust_radius")),
        "witness": [],
    }
    points = ("better_point", "better_objective", "numerical", "history")
    bounds = ("method", "lower_bound", "gap", *points)
    return {"kkt": kkt, "local": local, "global": {**unknown, **dict.fromkeys(bounds)}}


def nothing_known(
    name: str | None, options: Options, limit: str, reason: str, *, certify: bool
) -> Json:
    """The answer of a request whose budget ran out before its point was placed."""
    asked = options.questions if certify else ("kkt",)
    fields = {key: (value if key in asked else None) for key, value in unanswered(reason).items()}
    shared: Json = {
        "name": name,
        "feasibility": {
            "feasible": None,
            "scale": None,
            "margins": None,
            "violations": [],
            "reason": reason,
        },
        "kkt": fields["kkt"],
        "termination": {"reason": "limit", "limit": limit, "detail": reason},
        "tolerances": tolerances(options),
        "versions": versions(),
        "timings": {},
    }
    if not certify:
        return identified(shared)
    return identified(
        {
            **shared,
            "verdict": "inconclusive",
            "summary": f"Not decided: {reason}.",
            **dict.fromkeys(("objective", "point", "layers", "predictor", "certificate")),
            "refinement": Refinement(False, reason=reason).to_dict(1.0) if options.refine else None,
            "local": fields["local"],
            "global": fields["global"],
            "theorems": [],
            "self_check": {"checked": False, "reason": reason},
        }
    )


def tolerances(options: Options) -> dict[str, float]:
    """The field ``tolerances``."""
    return {
        "kkt": options.kkt_tolerance,
        "complementarity": options.complementarity_tolerance,
        "gap": options.gap_tolerance,
        "kink": options.kink_tolerance,
        "resolution": options.resolution,
    }


@cache
def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def versions() -> dict[str, str]:
    """Versions of everything whose arithmetic the answer rests on."""
    return {p: _version(p) for p in ("margincert", "numpy", "scipy", "clarabel")}


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def npy_bytes(values: NDArray[np.float64]) -> bytes:
    """The bytes of a ``.npy`` file."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(values), allow_pickle=False)
    return buffer.getvalue()


def canonical_json(body: Mapping[str, Any]) -> bytes:
    """Sorted keys, no spaces, shortest round-trip floats, UTF-8; NaN and infinity raise."""
    text = json.dumps(
        body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    return text.encode()


def reference(name: str, values: NDArray[np.float64]) -> Json:
    """What stands in an answer for an array beside it; :func:`identified` fills in the id."""
    return {
        "npy": f"/v1/certificates/{{id}}/arrays/{name}.npy",
        "shape": list(values.shape),
        "sha256": hashlib.sha256(npy_bytes(values)).hexdigest(),
    }


def identified(body: Json, kind: Literal["cert", "flow", "tables"] = "cert") -> Json:
    """``body`` with its ``id`` first, and the id put into the addresses of its own arrays.

    The id is ``kind`` and the SHA-256 of the canonical JSON without timings.
    """
    hashed = _untimed({key: value for key, value in body.items() if key != "id"})
    identity = f"{kind}_" + hashlib.sha256(canonical_json(hashed)).hexdigest()
    filled = _with_id(body, identity)
    return {"id": identity, **{k: v for k, v in filled.items() if k != "id"}}


def _untimed(body: Json) -> Json:
    """Without its timings, and those of the certification within it."""
    kept = {key: value for key, value in body.items() if key != "timings"}
    if kept.get("certification"):
        kept["certification"] = _untimed(kept["certification"])
    return kept


def _with_id(value: Any, identity: str) -> Any:
    if isinstance(value, dict):
        if set(value) == {"npy", "shape", "sha256"}:
            return {**value, "npy": value["npy"].replace("{id}", identity)}
        return {key: _with_id(item, identity) for key, item in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], (dict, list)):
        return [_with_id(item, identity) for item in value]
    return value
