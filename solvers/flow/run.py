"""``gradient_flow`` and ``gradient_descent``: from an initialisation to the verdict on its limit.

>>> from solvers.flow import gradient_flow
>>> result = gradient_flow(
...     {"type": "fully_connected", "widths": [2, 2, 1], "activation": "relu"},
...     {"x": [[1, 0.25], [-1, 0.25]], "y": [1, 1]},
...     [[[0.25, 3], [0, -1]], [[3, 1]]],
... )
>>> result.certification.verdict.value
'not_local_optimum'
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pydantic
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.certification import Certification, budget_of, certify, parse_options
from solvers.dataset import parse_dataset
from solvers.errors import InputError
from solvers.flow.conserved import conserved_quantities, drifts
from solvers.flow.descent import Steps, descend
from solvers.flow.events import events_of
from solvers.flow.field import Field
from solvers.flow.limit import Polish, polish
from solvers.flow.loss import LossName
from solvers.flow.model import FlowModel
from solvers.flow.options import FlowSettings
from solvers.flow.path import Controls, Path, integrate
from solvers.flow.result import FlowResult, Structure
from solvers.flow.symmetry import symmetry_of
from solvers.flow.trajectory import margins_of, samples_of
from solvers.kinks import connection_norms
from solvers.network import Network
from solvers.options import Options
from solvers.pointers import field_errors
from solvers.problem import Problem
from solvers.refinement.pattern import signs

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Report = Callable[[FlowResult], None]

LARGEST = 100_000
"""Most parameters and pre-activations of a network whose curve is followed."""
_FLOW_SHARE = 0.5
"""Part of the time that the curve itself may take."""
_POLISH_SHARE = 0.5
"""Part of the rest that the search for the KKT point may take."""
_ZERO = 1e-12


@dataclass(frozen=True)
class _Case:
    """A parsed request: the model, the field, the start (internal units) and what is asked.

    ``x`` are the inputs as they were given (n x inputs).
    """

    name: str | None
    model: FlowModel
    problem: Problem | None
    field: Field
    x: Matrix
    start: Vector
    settings: FlowSettings
    options: Options

    @property
    def log_unit(self) -> float:
        """The logarithm of the factor from internal lengths to the user's."""
        return 0.0 if self.problem is None else -self.problem.shift * float(np.log(2.0))


def gradient_flow(
    network: Network | Mapping[str, Any],
    dataset: Mapping[str, Any],
    initial_parameters: Any,
    loss: LossName = "exponential",
    *,
    name: str | None = None,
    options: Mapping[str, Any] | None = None,
    budget: Budget | None = None,
    report: Report | None = None,
    **settings: Any,
) -> FlowResult:
    """Follow gradient flow from ``initial_parameters`` and certify the KKT point it tends to.

    ``network`` may have a skip connection or biases; such a net gets the trajectory and its
    margins, never a verdict. ``settings`` are the fields of
    :class:`~solvers.flow.options.FlowSettings` (``certify=False`` leaves the verdict out),
    ``options`` those of :class:`~solvers.options.Options`, whose time limit covers everything.
    ``report`` receives the result once more before certification.

    Raises :class:`~solvers.errors.InputError` naming the field that is wrong.
    """
    given = {"loss": loss, **settings}
    case = _parsed(network, dataset, initial_parameters, given, options or {}, name)
    return _run(case, budget or budget_of(case.options), report)


def gradient_descent(
    network: Network | Mapping[str, Any],
    dataset: Mapping[str, Any],
    initial_parameters: Any,
    loss: LossName = "exponential",
    **arguments: Any,
) -> FlowResult:
    """The same for gradient descent: ``step_size``, ``steps`` and ``step_rule`` say how."""
    return gradient_flow(network, dataset, initial_parameters, loss, method="descent", **arguments)


def _parsed(
    network: Network | Mapping[str, Any],
    dataset: Mapping[str, Any],
    parameters: Any,
    given: Mapping[str, Any],
    options: Mapping[str, Any],
    name: str | None,
) -> _Case:
    settings = parse_settings(given)
    checked = parse_options(options)
    model = FlowModel.of(network) if isinstance(network, Network) else FlowModel.from_dict(network)
    x, y = parse_dataset(model.base, dataset)
    theta = model.flatten(parameters, "/initial_parameters")
    _require_small(model, len(y))
    if not theta.any():
        raise InputError.at(
            "/initial_parameters", "found zeros only, expected a start where the gradient is not 0"
        )
    problem = Problem.build(model.base, x, y) if model.is_homogeneous else None
    if problem is None:
        inputs, start = model.augment(x), theta
    else:
        inputs, start = problem.x, problem.from_user(theta)
    slope = settings.relu_derivative_at_zero
    with np.errstate(all="ignore"):
        symmetry = symmetry_of(model, start, inputs, y, slope_at_zero=slope, seed=checked.seed)
    field = Field(model, inputs, y, settings.loss, slope, symmetry)
    return _Case(name, model, problem, field, x, start, settings, checked)


def _require_small(model: FlowModel, examples: int) -> None:
    """Every node of the curve keeps theta and all pre-activations."""
    hidden = sum(layer.outputs for layer in model.base.layers[:-1])
    numbers = model.size + examples * hidden
    if numbers > LARGEST:
        raise InputError.at(
            "/network",
            f"found {model.size} parameters and {examples * hidden} pre-activations on the data, "
            f"expected at most {LARGEST} in all: gradient flow keeps its whole curve",
        )


def parse_settings(given: Mapping[str, Any]) -> FlowSettings:
    """Settings with their defaults; errors point at the request's fields."""
    try:
        return FlowSettings.model_validate(dict(given))
    except pydantic.ValidationError as error:
        raise InputError(field_errors(dict(given), error)) from None


def _run(case: _Case, budget: Budget, report: Report | None) -> FlowResult:
    timings: dict[str, float] = {}

    def told(
        found: Polish | None = None,
        verdict: Certification | None = None,
        reason: str | None = "not certified yet",
    ) -> FlowResult:
        return _told(case, path, found, verdict, reason, timings)

    begin = time.perf_counter()
    path = _path(case, budget.part(_FLOW_SHARE))
    timings["flow"] = time.perf_counter() - begin
    if report is not None:
        report(told())
    if case.problem is None:
        reason = "the network is not homogeneous: Problem 1 and its KKT points do not apply"
        return told(reason=reason)
    if not path.separates:
        return told(reason="the loss did not fall below l(0)")
    begin = time.perf_counter()
    with np.errstate(all="ignore"):
        found = polish(case.problem, path, case.options, budget.part(_POLISH_SHARE))
    timings["polish"] = time.perf_counter() - begin
    if not found.explained or found.point is None:
        return told(found, reason=found.reason)
    if not case.settings.certify:
        return told(found, reason="not asked for")
    if report is not None:
        report(told(found))
    begin = time.perf_counter()
    verdict = certify(
        case.model.base,
        {"x": case.x, "y": case.field.y},
        case.model.unflatten(found.point),
        name=case.name,
        budget=budget,
        **case.options.model_dump(),
    )
    timings["certify"] = time.perf_counter() - begin
    return told(found, verdict, None)


def _path(case: _Case, budget: Budget) -> Path:
    settings = case.settings
    if settings.method == "descent":
        unit = float(np.exp(-2.0 * case.log_unit))
        by_loss = settings.step_rule == "loss_based"
        steps = Steps(settings.step_size, settings.steps, by_loss, unit)
        return descend(case.field, case.start, steps, budget)
    controls = Controls(
        settings.integrator,
        settings.relative_tolerance,
        settings.direction_tolerance,
        settings.max_log_norm - case.log_unit,
    )
    return integrate(case.field, case.start, controls, budget)


def _told(
    case: _Case,
    path: Path,
    found: Polish | None,
    verdict: Certification | None,
    reason: str | None,
    timings: dict[str, float],
) -> FlowResult:
    margins = margins_of(case.field, path.nodes, case.log_unit)
    quantities = conserved_quantities(case.model)
    unit = float(np.exp(case.log_unit))
    samples = samples_of(
        case.field,
        path.nodes,
        margins,
        quantities,
        most=case.settings.samples,
        log_unit=case.log_unit,
    )
    return FlowResult(
        case.name,
        case.model,
        case.settings,
        case.options,
        samples,
        margins,
        events_of(case.model, path.nodes),
        drifts(quantities, [node.theta * unit for node in path.nodes]),
        path.separates,
        path.reason,
        path.steps,
        path.symmetry.size,
        path.held_from + case.log_unit if np.isfinite(path.held_from) else None,
        path.end.direction,
        path.end.rate if np.isfinite(path.end.rate) else None,
        found,
        _structure(case, found, verdict),
        verdict,
        reason,
        dict(timings),
    )


def _structure(
    case: _Case, found: Polish | None, verdict: Certification | None
) -> Structure | None:
    """Support, vanishing neurons and signs at the certified KKT point."""
    if case.problem is None or found is None or not found.explained or found.point is None:
        return None
    network, theta = case.model.base, case.problem.from_user(found.point)
    trace = network.forward(theta, case.problem.x)
    pattern = () if network.is_linear else signs(network, theta, trace, _ZERO)
    return Structure(_support(verdict), tuple(_vanishing(network, theta)), pattern)


def _support(verdict: Certification | None) -> tuple[int, ...]:
    progress = None if verdict is None else verdict.progress
    if progress is None or progress.kkt is None:
        return ()
    weights = progress.kkt.multipliers
    return tuple(int(i) + 1 for i in np.flatnonzero(weights > 1e-9 * weights.max(initial=0.0)))


def _vanishing(network: Network, theta: Vector) -> Iterator[tuple[int, int]]:
    for layer in range(network.depth - 1):
        width = network.layers[layer].inputs
        part = theta[network.slices[layer]]
        norms = connection_norms(network, layer, part, np.ones((1, width)))[0][0]
        for neuron in np.flatnonzero(norms <= _ZERO * float(np.linalg.norm(theta))):
            yield layer + 1, int(neuron) + 1
