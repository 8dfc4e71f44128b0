"""The constructions of the paper, each ready to be posted.

Source: Vardi, Shamir, Srebro, On Margin Maximization in Linear and ReLU Networks (NeurIPS 2022);
names are those of its theorems and lemmas. ``request`` certifies the *limit point* of the
construction, scaled to margin 1; ``expected`` holds the facts that are known by hand (two-line
derivations stand beside the data); ``initial_parameters`` is where gradient flow starts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import sqrt
from types import MappingProxyType
from typing import Any

Parameters = Sequence[Any]


@dataclass(frozen=True)
class Example:
    """One construction.

    ``request`` is a body for ``POST /v1/certify``. ``expected`` always has ``verdict`` (or
    ``status``, where certification is refused), ``objective`` = 1/2 ||theta||^2 at margin 1 and
    ``multipliers`` where they are unique; ``global_value`` is the optimum of Problem 1 for the
    network as it stands, ``better_value`` the objective of some better feasible point.
    ``initial_parameters`` has the shape of ``request["parameters"]``.
    """

    name: str
    title: str
    request: Mapping[str, Any]
    expected: Mapping[str, Any]
    initial_parameters: Parameters | None

    def to_dict(self) -> dict[str, Any]:
        """A JSON-ready copy that the caller may change."""
        return {
            "name": self.name,
            "title": self.title,
            "request": deepcopy(dict(self.request)),
            "expected": deepcopy(dict(self.expected)),
            "initial_parameters": deepcopy(self.initial_parameters),
        }


def _example(
    name: str,
    title: str,
    *,
    network: Mapping[str, Any],
    x: Sequence[Sequence[float]],
    y: Sequence[int] | None = None,
    parameters: Parameters,
    expected: Mapping[str, Any],
    start: Parameters | None,
) -> Example:
    labels = [1] * len(x) if y is None else list(y)
    request = {
        "name": name,
        "network": dict(network),
        "dataset": {"x": x, "y": labels},
        "parameters": parameters,
    }
    return Example(name, title, request, expected, start)


def _dense(widths: Sequence[int], activation: str) -> dict[str, Any]:
    return {"type": "fully_connected", "widths": list(widths), "activation": activation}


def _diagonal(depth: int, activation: str) -> dict[str, Any]:
    return {"type": "diagonal", "dimension": 2, "depth": depth, "activation": activation}


def _two_patches(activation: str) -> dict[str, Any]:
    return {
        "type": "convolutional",
        "input_size": 4,
        "filter_size": 2,
        "stride": 2,
        "filters": 1,
        "padding": "valid",
        "activation": activation,
    }


def _theorem_3_1() -> Example:
    """beta* = 32 (y_1 x_1 + y_2 x_2) = (4, 4, 4, 4) has margins (1, 1, 4) and norm 8 = C^3.

    C = 2, all v_l = (1, 1, 1, 1)/2, v_3 = 1: value (3/2) C^2 = 6; the multipliers of Problem 1
    are those of the SVM divided by C^(2m - 2) = 16. The start is full rank,
    and symmetric enough to end in this rotation of the hidden layers.
    """
    return _example(
        "theorem-3.1",
        "Fully connected linear network of depth 3: KKT points are global optima",
        network=_dense([4, 4, 4, 1], "linear"),
        x=[[0.125, 0.125, 0.0, 0.0], [0.0, 0.0, -0.125, -0.125], [0.25, 0.25, 0.25, 0.25]],
        y=[1, -1, 1],
        parameters=[[[0.5] * 4] * 4, [[0.5] * 4] * 4, [[1.0] * 4]],
        expected={
            "verdict": "global_optimum",
            "objective": 6.0,
            "multipliers": [2.0, 2.0, 0.0],
            "global_value": 6.0,
            "predictor": {
                "norm": "l2",
                "beta": [4.0, 4.0, 4.0, 4.0],
                "objective": 8.0,
                "optimum": 8.0,
                "local": "yes",
                "global": "yes",
            },
        },
        start=[
            [
                [2.0, 1.0, 1.0, 1.0],
                [1.0, 2.0, 1.0, 1.0],
                [1.0, 1.0, 2.0, 1.0],
                [1.0, 1.0, 1.0, 2.0],
            ],
            [
                [1.0, 0.5, 0.5, 0.5],
                [0.5, 1.0, 0.5, 0.5],
                [0.5, 0.5, 1.0, 0.5],
                [0.5, 0.5, 0.5, 1.0],
            ],
            [[1.0, 1.0, 1.0, 1.0]],
        ],
    )


def _theorem_3_2() -> Example:
    """w_1 = 2 * 2 (x_1 + x_2) = (0, 2); the second neuron is dead and idle.

    At width 2 the optimum serves each example by a neuron of its own, inactive on the other:
    sum_i 1/||x_i|| = 2 * 4/sqrt(17).
    """
    return _example(
        "theorem-3.2",
        "Fully connected ReLU network with a dead neuron: a KKT point that is no local optimum",
        network=_dense([2, 2, 1], "relu"),
        x=[[1.0, 0.25], [-1.0, 0.25]],
        parameters=[[[0.0, 2.0], [0.0, 0.0]], [[2.0, 0.0]]],
        expected={
            "verdict": "not_local_optimum",
            "objective": 4.0,
            "multipliers": [2.0, 2.0],
            "global_value": 8.0 / sqrt(17.0),
        },
        start=[[[0.25, 3.0], [0.0, -1.0]], [[3.0, 1.0]]],
    )


def _theorem_4_1(activation: str) -> Example:
    """At balanced points f = |beta_1| + |beta_2|: spending on coordinate 2 halves the price."""
    expected: dict[str, Any] = {
        "verdict": "not_local_optimum",
        "objective": 1.0,
        "multipliers": [1.0],
        "global_value": 0.5,
    }
    if activation == "linear":
        expected["predictor"] = {
            "norm": "l1",
            "beta": [1.0, 0.0],
            "objective": 1.0,
            "optimum": 0.5,
            "local": "no",
            "global": "no",
        }
    return _example(
        f"theorem-4.1-{activation}",
        f"Diagonal {_word(activation)} network of depth 2: a coordinate that never wakes up",
        network=_diagonal(2, activation),
        x=[[1.0, 2.0]],
        parameters=[[1.0, 0.0], [1.0, 0.0]],
        expected=expected,
        start=[[1.0, 0.0], [1.0, 0.0]],
    )


def _theorem_4_2_part_1() -> Example:
    """Neuron 1 sees inputs 1-4, neuron 2 sees input 5; u_1 = x_1's part, u_2 = -1.

    Examples 1 and 2 alone cost 1/||part|| = 1 each, so 2 is optimal; example 3 has margin 2.5.
    """
    return _example(
        "theorem-4.2-linear",
        "Linear network of depth 2 without sharing, no zero neuron: a global optimum (part 1)",
        network={
            "type": "layers",
            "input_size": 5,
            "activation": "linear",
            "layers": [
                {"type": "shared", "index": [[1, 2, 3, 4, 0], [0, 0, 0, 0, 5]]},
                {"type": "dense", "outputs": 1},
            ],
        },
        x=[[0.5, 0.5, 0.5, 0.5, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 1.0, 1.0, -1.0]],
        y=[1, -1, 1],
        parameters=[[0.5, 0.5, 0.5, 0.5, 1.0], [[1.0, -1.0]]],
        expected={
            "verdict": "global_optimum",
            "objective": 2.0,
            "multipliers": [1.0, 1.0, 0.0],
            "global_value": 2.0,
        },
        start=[[2.0, 1.0, 1.0, 1.0, 2.0], [[2.0, -2.0]]],
    )


_CROSS: list[list[float]] = [[0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [-1.0, 0.0]]


def _cross(name: str, title: str, **facts: Any) -> Example:
    """The multipliers follow from v_j = lambda_j ||x_j||^2; orthogonal w_j and x_i make kinks.

    Neurons along (1, 1) and (-1, -1) with ||u_j|| = sqrt(2) serve two examples each: 2 sqrt(2).
    """
    return _example(
        name,
        title,
        network=_dense([2, 4, 1], "relu"),
        x=_CROSS,
        parameters=[_CROSS, [[1.0] * 4]],
        expected={
            "verdict": "not_local_optimum",
            "objective": 4.0,
            "multipliers": [1.0] * 4,
            "global_value": 2.0 * sqrt(2.0),
            **facts,
        },
        start=[[[2.0 * a, 2.0 * b] for a, b in _CROSS], [[2.0] * 4]],
    )


def _theorem_4_3() -> Example:
    """Neurons 1 and 2 see inputs 1-2, neuron 3 sees input 3; u = ((0, 4), (0, -1), -4).

    v_3 = -2 lambda_4, v_2 = lambda_3 and w_1 = 2 (lambda_1 x_1 + lambda_2 x_2 - lambda_4 x_4) give
    lambda = (7/2, 7/2, 1, 1). Better: u_1 = 16/17 (1, 1/4), u_2 = (-5/4, -1), u_3 = -20/17.
    """
    return _example(
        "theorem-4.3",
        "ReLU network of depth 2 without sharing and without kinks: a local optimum",
        network={
            "type": "layers",
            "input_size": 3,
            "activation": "relu",
            "layers": [
                {"type": "shared", "index": [[1, 2, 0], [3, 4, 0], [0, 0, 5]]},
                {"type": "dense", "outputs": 1},
            ],
        },
        x=[[1.0, 0.25, -1.0], [-1.0, 0.25, -1.0], [0.0, -1.0, -1.0], [0.0, 0.75, 1.0]],
        y=[1, 1, 1, -1],
        parameters=[[0.0, 2.0, 0.0, -1.0, 2.0], [[2.0, 1.0, -2.0]]],
        expected={
            "verdict": "local_optimum",
            "objective": 9.0,
            "multipliers": [3.5, 3.5, 1.0, 1.0],
            "better_value": 4.0 / sqrt(17.0) + sqrt(41.0) / 4.0 + 20.0 / 17.0,
        },
        start=[[0.0, 3.0, 0.0, -2.0, 3.0], [[3.0, 2.0, -3.0]]],
    )


def _opposite(name: str, title: str, **facts: Any) -> Example:
    """Here u = ((0, 4), (0, -1)); w_1 = 4 (x_1 + x_2) and w_2 = x_3 give the multipliers.

    At width 2 the optimum shares example 3: u = ((9/8, -1/2), (-9/8, -1/2)), norms sqrt(97)/8.
    """
    return _example(
        name,
        title,
        network=_dense([2, 2, 1], "relu"),
        x=[[1.0, 0.25], [-1.0, 0.25], [0.0, -1.0]],
        parameters=[[[0.0, 2.0], [0.0, -1.0]], [[2.0, 1.0]]],
        expected={
            "verdict": "local_optimum",
            "objective": 5.0,
            "multipliers": [2.0, 2.0, 1.0],
            "global_value": sqrt(97.0) / 4.0,
            **facts,
        },
        start=[[[0.0, 3.0], [0.0, -2.0]], [[3.0, 2.0]]],
    )


def _patches(name: str, title: str, activation: str, **facts: Any) -> Example:
    """Linear: Phi = v^T X w, X with rows (4, c) and (-4, c), c^2 = 1/2; X^T X = diag(32, 1).

    The point is the singular pair with sigma = 1: value 1/sigma; the other one costs 1/sqrt(32).
    ReLU: one patch only can be active along (4, c): 1/||(4, c)|| = 1/sqrt(16.5).
    """
    c = 1.0 / sqrt(2.0)
    return _example(
        name,
        title,
        network=_two_patches(activation),
        x=[[4.0, c, -4.0, c]],
        parameters=[[[0.0, 1.0]], [[c, c]]],
        expected={
            "verdict": "not_local_optimum",
            "objective": 1.0,
            "multipliers": [1.0],
            "global_value": 1.0 / sqrt(32.0 if activation == "linear" else 16.5),
            **facts,
        },
        start=[[[0.0, 1.0]], [[c, c]]],
    )


def _theorem_5_1(activation: str) -> Example:
    """On the orthant f = (3/2) sum |beta_k|^(2/3) is concave: (1/2, 1/2) is its maximum.

    ||theta||^2 = 3 lambda gives the multiplier 2^(1/3); a vertex (1, 0) costs 3/2.
    """
    weight = 2.0 ** (-1.0 / 3.0)
    expected: dict[str, Any] = {
        "verdict": "not_local_optimum",
        "objective": 3.0 * 2.0 ** (-2.0 / 3.0),
        "multipliers": [2.0 ** (1.0 / 3.0)],
        "global_value": 1.5,
    }
    if activation == "linear":
        expected["predictor"] = {
            "norm": "lp",
            "beta": [0.5, 0.5],
            "objective": sqrt(2.0),
            "optimum": 1.0,
            "local": "no",
            "global": "no",
        }
    return _example(
        f"theorem-5.1-{activation}",
        f"Diagonal {_word(activation)} network of depth 3: a saddle with no zero weight",
        network=_diagonal(3, activation),
        x=[[1.0, 1.0]],
        parameters=[[weight, weight]] * 3,
        expected=expected,
        start=[[1.0, 1.0]] * 3,
    )


def _theorem_6_1() -> Example:
    """The margin vw/||theta||^2 + u/||theta|| is 1/3 + 1/sqrt(3) at first, 1/2 in the limit."""
    return _example(
        "theorem-6.1",
        "Linear network with a skip connection: the normalized margin falls (gradient flow only)",
        network={**_dense([1, 1, 1], "linear"), "skip_connection": True},
        x=[[1.0]],
        parameters=[[[2.0]], [[2.0]], [[2.0]]],
        expected={
            "status": 422,
            "initial_normalized_margin": 1.0 / 3.0 + 1.0 / sqrt(3.0),
            "limit_normalized_margin": 0.5,
            "limit_direction": [[[1.0 / sqrt(2.0)]], [[1.0 / sqrt(2.0)]], [[0.0]]],
            "monotone_margin": False,
        },
        start=[[[2.0]], [[2.0]], [[2.0]]],
    )


def _word(activation: str) -> str:
    return "ReLU" if activation == "relu" else activation


def _layer(number: int, local: str, global_: str) -> dict[str, Any]:
    return {"layer": number, "local": local, "global": global_}


def _all() -> Iterator[Example]:
    yield _theorem_3_1()
    yield _theorem_3_2()
    for activation in ("linear", "relu"):
        yield _theorem_4_1(activation)
    yield _theorem_4_2_part_1()
    yield _cross(
        "theorem-4.2", "ReLU network without zero neurons: a KKT point that is no local optimum"
    )
    yield _theorem_4_3()
    yield _opposite("lemma-c.6", "ReLU network without kinks: a local optimum that is not global")
    for activation in ("linear", "relu"):
        yield _patches(
            f"theorem-4.4-{activation}",
            f"Convolutional {_word(activation)} network, two patches: no local optimum",
            activation,
        )
    for activation in ("linear", "relu"):
        yield _theorem_5_1(activation)
    yield _patches(
        "theorem-5.2",
        "Linear network in N: every layer by itself is globally optimal",
        "linear",
        layers=[_layer(1, "yes", "yes"), _layer(2, "yes", "yes")],
    )
    yield _cross(
        "theorem-5.3",
        "ReLU network: the first layer by itself is no local optimum",
        layers=[_layer(1, "no", "no"), _layer(2, "yes", "yes")],
    )
    yield _opposite(
        "theorem-5.4",
        "ReLU network without kinks: every layer by itself is locally, not globally, optimal",
        layers=[_layer(1, "yes", "no"), _layer(2, "yes", "yes")],
    )
    yield _theorem_6_1()


EXAMPLES: Mapping[str, Example] = MappingProxyType({example.name: example for example in _all()})
"""Every construction, in the order of the paper."""
