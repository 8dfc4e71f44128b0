"""What gradient flow found, in one frozen object, and its JSON form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.answer import INLINE_LIMIT, Json, identified, reference, tolerances, versions
from solvers.certification import Certification
from solvers.flow.conserved import Drift
from solvers.flow.events import Event
from solvers.flow.limit import Polish
from solvers.flow.model import FlowModel
from solvers.flow.options import FlowSettings
from solvers.flow.path import Reason
from solvers.flow.trajectory import Margins, Sample
from solvers.options import Options

Vector = NDArray[np.float64]

STOPPED: dict[Reason, str] = {
    "direction": "the direction has converged to the tolerance",
    "saddle": "the direction stands still at a saddle that rounding does not leave",
    "norm": "the largest norm was reached",
    "stationary": "the loss stopped falling before it was below l(0)",
    "steps": "the largest number of steps was reached",
    "time": "the time limit was reached",
    "integrator": "the integrator could not take another step",
    "diverted": "the path left its symmetric subspace",
    "diverged": "the steps of gradient descent left the range of doubles",
}


@dataclass(frozen=True)
class Structure:
    """What the limit looks like; layers, neurons and examples count from 1.

    ``support``: examples with a positive multiplier at the KKT point. ``vanishing``: pairs (layer,
    neuron) with no incoming weight there. ``signs``: per hidden layer the signs (-1, 0, 1) of the
    pre-activations (n x k); empty for linear nets.
    """

    support: tuple[int, ...]
    vanishing: tuple[tuple[int, int], ...]
    signs: tuple[NDArray[np.int8], ...]


@dataclass(frozen=True, eq=False)
class FlowResult:
    """A trajectory of gradient flow (or descent), its limit direction and the KKT point there.

    ``limit_direction`` (p) is theta / ||theta|| at the end; ``kkt_point`` (p, margin 1, user's
    units) the exact KKT point that it tends to, or None with the reason in ``polish``.
    ``converged`` means that this point was identified (for nets that are not homogeneous: that
    the direction stands still), ``accuracy`` is the distance of the two directions then, else
    the last speed |d phi/d log ||theta|||.
    """

    name: str | None
    model: FlowModel
    settings: FlowSettings
    options: Options
    trajectory: tuple[Sample, ...]
    margins: Margins
    events: tuple[Event, ...]
    conserved: tuple[Drift, ...]
    separated: bool
    stopped: Reason
    steps: int
    classes: int
    held_from: float | None
    limit_direction: Vector
    speed: float | None
    polish: Polish | None
    structure: Structure | None
    certification: Certification | None
    uncertified: str | None
    timings: dict[str, float]
    arrays: dict[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)

    @property
    def kkt_point(self) -> Vector | None:
        """The limit at margin 1 (p, user's units), where it was identified."""
        return self.polish.point if self.polish is not None and self.polish.explained else None

    @property
    def converged(self) -> bool:
        """Whether the limit direction is known."""
        if not self.separated:
            return False
        if self.model.is_homogeneous:
            return self.kkt_point is not None
        return self.stopped == "direction"

    @property
    def accuracy(self) -> float | None:
        """How far the end of the curve is from the limit direction, or how fast it still turns."""
        if self.kkt_point is not None and self.polish is not None:
            return self.polish.accuracy
        return self.speed

    @property
    def polish_distance(self) -> float | None:
        """From the end of the flow, at margin 1, to the KKT point."""
        return self.polish.distance if self.polish is not None else None

    @property
    def monotone_margin(self) -> bool:
        """Whether the normalized margin never fell after separation."""
        return self.margins.normalized_is_monotone

    @property
    def parts(self) -> Sequence[Certification]:
        """The certification, an answer with an id of its own."""
        return () if self.certification is None else (self.certification,)

    def to_dict(self) -> Json:
        """The answer in plain JSON types, with its ``id``."""
        return self._body

    @cached_property
    def _body(self) -> Json:
        certification = None if self.certification is None else self.certification.to_dict()
        if self.certification is not None:
            self.arrays.update(self.certification.arrays)
        body: Json = {
            "name": self.name,
            "network": self.model.spec.model_dump(mode="json", exclude_unset=True),
            "loss": self.settings.loss,
            "method": self.settings.method,
            "homogeneous": self.model.is_homogeneous,
            "relu_derivative_at_zero": self.settings.relu_derivative_at_zero,
            "summary": self.summary,
            "converged": self.converged,
            "accuracy": self.accuracy,
            "separated": self.separated,
            "stopped": {"reason": self.stopped, "detail": STOPPED[self.stopped]},
            "steps": self.steps,
            "independent_parameters": self.classes,
            "margins_held_from_log_norm": self.held_from,
            "limit_direction": self._parameters("limit-direction", self.limit_direction),
            "kkt_point": None
            if self.kkt_point is None
            else self._parameters("kkt-point", self.kkt_point),
            "polish_distance": self.polish_distance,
            "polish": self._polish(),
            "limit": self._structure(),
            "certification": certification,
            "certification_reason": self.uncertified,
            "monotone_margin": self.monotone_margin if self.separated else None,
            "monotone_smoothed_margin": self.margins.smoothed_is_monotone
            if self.separated
            else None,
            "largest_margin_fall": self.margins.normalized_fall if self.separated else None,
            "conserved": [
                {
                    "layer": drift.layer + 1,
                    "neuron": None if drift.neuron is None else drift.neuron + 1,
                    "initial": drift.initial,
                    "drift": drift.drift,
                }
                for drift in self.conserved
            ],
            "events": [_event(event) for event in self.events],
            "trajectory": [self._sample(sample) for sample in self.trajectory],
            "tolerances": {
                **tolerances(self.options),
                "direction": self.settings.direction_tolerance,
                "integrator": self.settings.relative_tolerance,
            },
            "versions": versions(),
            "timings": self.timings,
        }
        return identified(body, "flow")

    @property
    def summary(self) -> str:
        """One plain sentence."""
        if not self.separated:
            return f"The loss did not fall below l(0): {STOPPED[self.stopped]}."
        if not self.model.is_homogeneous:
            course = "never fell" if self.monotone_margin else "fell"
            return f"{_sentence(STOPPED[self.stopped])}; the normalized margin {course}."
        if self.kkt_point is None:
            reason = self.polish.reason if self.polish is not None else None
            return f"{_sentence(STOPPED[self.stopped])}; {reason or 'no limit was identified'}."
        accuracy = self.accuracy if self.accuracy is not None else float("nan")
        found = f"The direction tends to a KKT point (at the end it is {accuracy:.2g} away)"
        if self.certification is None:
            return f"{found}."
        return f"{found}: {self.certification.verdict.value.replace('_', ' ')}."

    def _parameters(self, name: str, theta: Vector) -> Any:
        parts = self.model.unflatten(theta)
        if theta.size <= INLINE_LIMIT or self.options.vectors == "inline":
            return [part.tolist() for part in parts]
        if self.options.vectors == "none":
            return None
        return [self._reference(f"{name}-{k + 1}", part) for k, part in enumerate(parts)]

    def _reference(self, name: str, values: Vector) -> Json:
        self.arrays[name] = values
        return reference(name, values)

    def _polish(self) -> Json | None:
        if self.polish is None:
            return None
        found = asdict(self.polish)
        del found["point"]
        for key in ("power", "accuracy"):
            found[key] = found[key] if found[key] is not None and np.isfinite(found[key]) else None
        return found

    def _structure(self) -> Json | None:
        if self.structure is None:
            return None
        return {
            "support": list(self.structure.support),
            "vanishing_neurons": [
                {"layer": layer, "neuron": neuron} for layer, neuron in self.structure.vanishing
            ],
            "signs": [signs.tolist() for signs in self.structure.signs],
        }

    def _sample(self, sample: Sample) -> Json:
        directions, norms = sample.neuron_directions, sample.neuron_norms
        return {
            "log_time": sample.log_time,
            "log_norm": sample.log_norm,
            "norm": sample.norm,
            "loss": sample.loss if np.isfinite(sample.loss) else None,
            "log_loss": sample.log_loss,
            "normalized_margin": sample.normalized_margin,
            "smoothed_margin": sample.smoothed_margin,
            "margins": sample.margins.tolist(),
            "conserved": list(sample.conserved),
            "neuron_directions": None
            if directions is None
            else [rows.tolist() for rows in directions],
            "neuron_norms": None if norms is None else [part.tolist() for part in norms],
            "layer_norms": list(sample.layer_norms),
            "separated": sample.separated,
        }


def nothing_followed(name: str | None, reason: str) -> Json:
    """The answer of a request that was stopped before it reported anything."""
    unknown = dict.fromkeys(
        ("accuracy", "limit_direction", "kkt_point", "polish_distance", "polish", "limit")
    )
    return identified(
        {
            "name": name,
            "summary": f"Not followed: {reason}.",
            "converged": False,
            "separated": False,
            "stopped": {"reason": "time", "detail": reason},
            **unknown,
            "certification": None,
            "certification_reason": reason,
            "monotone_margin": None,
            "trajectory": [],
            "versions": versions(),
            "timings": {},
        },
        "flow",
    )


def _event(event: Event) -> Json:
    return {
        "kind": event.kind,
        "layer": event.layer + 1,
        "neuron": event.neuron + 1,
        "example": None if event.example is None else event.example + 1,
        "active": event.active,
        "log_norm": event.log_norm,
        "log_time": event.log_time if np.isfinite(event.log_time) else None,
    }


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]
