"""Tables 1 and 2 of the paper as data: what each cell says, and what shows it.

A positive word ("global", "local") speaks about every instance: it is shown on random instances,
drawn until ``hypothesis`` holds at the limit. A negative word is a counterexample: it is shown at
the limit of gradient flow from the paper's initialisation. "local, not global" is one of each.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from solvers.findings import Answer, LayerFinding
from solvers.flow import FlowResult
from solvers.kinks import has_zero_input, has_zero_neuron
from solvers.options import Question
from solvers.tables.instances import (
    Draw,
    convolutional,
    diagonal,
    fully_connected,
    sparse,
)

Judge = Callable[[FlowResult], Answer]
Hypothesis = Callable[[FlowResult], bool]

_ZERO = 1e-6
"""Relative size at which a weight vector or an input to a neuron counts as zero."""


@dataclass(frozen=True)
class Sampled:
    """Random instances: each is drawn by one of ``draws``, in turn."""

    name: str
    draws: tuple[Draw, ...]
    hypothesis: Hypothesis
    judge: Judge
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Constructed:
    """The paper's construction ``example``, from its initialisation."""

    example: str
    judge: Judge
    questions: tuple[Question, ...]


@dataclass(frozen=True)
class Cell:
    """One cell: its place, its word, the theorem, and what shows it."""

    table: int
    row: str
    column: str
    says: str
    theorem: str
    shown_by: tuple[Sampled | Constructed, ...]


def no_hypothesis(result: FlowResult) -> bool:
    """The row asks for nothing."""
    return True


def no_zero_neuron(result: FlowResult) -> bool:
    """Every weight vector of a hidden neuron is non-zero at the limit."""
    network, theta, _ = _limit(result)
    return not has_zero_neuron(network, theta, tolerance=_ZERO)


def no_zero_input(result: FlowResult) -> bool:
    """The input to every hidden neuron is non-zero on every example at the limit."""
    network, theta, x = _limit(result)
    trace = network.forward(theta, x)
    return no_zero_neuron(result) and not has_zero_input(network, theta, trace, tolerance=_ZERO)


def _limit(result: FlowResult) -> tuple[Any, np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    assert result.certification is not None
    placement = result.certification.placement
    return placement.problem.network, placement.theta, placement.problem.x


def is_global(result: FlowResult) -> Answer:
    """Whether the limit is a global optimum of Problem 1."""
    found = _progress(result).global_
    return Answer.UNKNOWN if found is None else found.answer


def is_local(result: FlowResult) -> Answer:
    """Whether the limit is a local optimum of Problem 1."""
    found = _progress(result).local
    return Answer.UNKNOWN if found is None else found.answer


def not_(judge: Judge) -> Judge:
    """The opposite answer."""
    opposite = {Answer.YES: Answer.NO, Answer.NO: Answer.YES, Answer.UNKNOWN: Answer.UNKNOWN}
    return lambda result: opposite[judge(result)]


def layers_are_global(result: FlowResult) -> Answer:
    """Whether every layer is a global optimum of Problem 3."""
    return _all(f.global_.answer for f in _layers(result))


def layers_are_local(result: FlowResult) -> Answer:
    """Whether every layer is a local optimum of Problem 3."""
    return _all(f.local.answer for f in _layers(result))


def _layers(result: FlowResult) -> tuple[LayerFinding, ...]:
    return _progress(result).layers or ()


def _all(answers: Any) -> Answer:
    listed = list(answers)
    if Answer.NO in listed:
        return Answer.NO
    return Answer.YES if listed and set(listed) == {Answer.YES} else Answer.UNKNOWN


def _progress(result: FlowResult) -> Any:
    assert result.certification is not None
    return result.certification.progress


_GLOBAL: tuple[Question, ...] = ("kkt", "local", "global")
_LOCAL: tuple[Question, ...] = ("kkt", "local")
_LAYERS: tuple[Question, ...] = ("kkt", "layers")


def _not_local(*examples: str) -> tuple[Constructed, ...]:
    return tuple(Constructed(name, not_(is_local), _LOCAL) for name in examples)


_SPARSE_LINEAR = (sparse("linear", (2, 2)), diagonal("linear", (2, 2)))
_SPARSE_RELU = (sparse("relu", (2, 2)), fully_connected("relu", (2, 2)))
_ANY_LINEAR = (
    convolutional("linear"),
    sparse("linear", (2, 3)),
    diagonal("linear", (2, 3)),
    fully_connected("linear", (2, 4)),
)
_ANY_RELU = (
    convolutional("relu"),
    sparse("relu", (2, 2)),
    fully_connected("relu", (2, 3)),
)

CELLS: tuple[Cell, ...] = (
    Cell(
        1,
        "fully connected",
        "linear",
        "global",
        "Theorem 3.1",
        (
            Sampled(
                "fully connected, depth 2",
                (fully_connected("linear", (2, 2)),),
                no_hypothesis,
                is_global,
                _GLOBAL,
            ),
        ),
    ),
    Cell(1, "fully connected", "ReLU", "not local", "Theorem 3.2", _not_local("theorem-3.2")),
    Cell(1, "N_no-share", "linear", "not local", "Theorem 4.1", _not_local("theorem-4.1-linear")),
    Cell(1, "N_no-share", "ReLU", "not local", "Theorem 3.2", _not_local("theorem-3.2")),
    Cell(
        1,
        "N_no-share, non-zero weight vectors",
        "linear",
        "global",
        "Theorem 4.2",
        (Sampled("sparse and diagonal", _SPARSE_LINEAR, no_zero_neuron, is_global, _GLOBAL),),
    ),
    Cell(
        1,
        "N_no-share, non-zero weight vectors",
        "ReLU",
        "not local",
        "Theorem 4.2",
        _not_local("theorem-4.2"),
    ),
    Cell(
        1,
        "N_no-share, non-zero inputs to all neurons",
        "linear",
        "global",
        "Theorem 4.2",
        (Sampled("sparse and diagonal", _SPARSE_LINEAR, no_zero_input, is_global, _GLOBAL),),
    ),
    Cell(
        1,
        "N_no-share, non-zero inputs to all neurons",
        "ReLU",
        "local, not global",
        "Theorem 4.3",
        (
            Sampled("sparse and fully connected", _SPARSE_RELU, no_zero_input, is_local, _LOCAL),
            Constructed("lemma-c.6", not_(is_global), _GLOBAL),
        ),
    ),
    Cell(
        1,
        "N, non-zero inputs to all neurons",
        "linear",
        "not local",
        "Theorem 4.4",
        _not_local("theorem-4.4-linear"),
    ),
    Cell(
        1,
        "N, non-zero inputs to all neurons",
        "ReLU",
        "not local",
        "Theorem 4.4",
        _not_local("theorem-4.4-relu"),
    ),
    Cell(
        2,
        "fully connected",
        "linear",
        "global",
        "Theorem 3.1",
        (
            Sampled(
                "fully connected, depth 3 and 4",
                (fully_connected("linear", (3, 4)),),
                no_hypothesis,
                is_global,
                _GLOBAL,
            ),
        ),
    ),
    Cell(2, "fully connected", "ReLU", "not local", "Theorem 3.2", _not_local("theorem-3.2")),
    Cell(
        2,
        "N_no-share, non-zero inputs to all neurons",
        "linear",
        "not local",
        "Theorem 5.1",
        _not_local("theorem-5.1-linear"),
    ),
    Cell(
        2,
        "N_no-share, non-zero inputs to all neurons",
        "ReLU",
        "not local",
        "Theorem 5.1",
        _not_local("theorem-5.1-relu"),
    ),
    Cell(
        2,
        "N, each layer separately",
        "linear",
        "global",
        "Theorem 5.2",
        (
            Sampled(
                "convolutional, sparse, diagonal, fully connected",
                _ANY_LINEAR,
                no_hypothesis,
                layers_are_global,
                _LAYERS,
            ),
        ),
    ),
    Cell(
        2,
        "N, each layer separately",
        "ReLU",
        "not local",
        "Theorem 5.3",
        (Constructed("theorem-5.3", not_(layers_are_local), _LAYERS),),
    ),
    Cell(
        2,
        "N, each layer separately, non-zero inputs",
        "linear",
        "global",
        "Theorem 5.2",
        (
            Sampled(
                "convolutional, sparse, diagonal, fully connected",
                _ANY_LINEAR,
                no_zero_input,
                layers_are_global,
                _LAYERS,
            ),
        ),
    ),
    Cell(
        2,
        "N, each layer separately, non-zero inputs",
        "ReLU",
        "local, not global",
        "Theorem 5.4",
        (
            Sampled(
                "convolutional, sparse, fully connected",
                _ANY_RELU,
                no_zero_input,
                layers_are_local,
                _LAYERS,
            ),
            Constructed("theorem-5.4", not_(layers_are_global), _LAYERS),
        ),
    ),
)
"""Every cell, in the order of the paper."""
