"""Problem 1: min 1/2 ||theta||^2 subject to q_i(theta) = y_i Phi(theta; x_i) >= 1.

A :class:`Problem` is nondimensional: the inputs are divided by a power of two so that their
largest entry is near 1, and parameters are multiplied by the matching power of two, so that the
margins are the same numbers. Both maps are exact in floating point (where nothing underflows) and
:meth:`Problem.to_user` leads back. With c = 2**shift: theta = c theta_user, objective
= c^2 objective_user, multipliers = c^2 multipliers_user, gradients = gradients_user / c.

Shapes: n examples, d inputs (with the constant feature, if there is one), p parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solvers.errors import InputError
from solvers.exact import (
    WORK_LIMIT,
    exact_cost,
    exact_outputs,
    exact_square_sum,
    scaled_integers,
)
from solvers.network import Network, Trace

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

ULP = 2.0**-52


@dataclass(frozen=True)
class Problem:
    """A network and its labelled data in internal units."""

    network: Network
    x: Matrix
    y: Vector
    shift: int

    @classmethod
    def build(cls, network: Network, x: Matrix, y: Vector) -> Problem:
        """From raw inputs ``x`` (n x input_size) and labels ``y`` (n) in {-1, +1}."""
        largest = float(np.abs(x).max(initial=0.0))
        exponent = int(np.frexp(largest)[1]) if largest > 0.0 else 0
        if network.bias and network.input_size:
            exponent = max(exponent, 0)
        shift = round(exponent / network.depth)
        augmented = np.asarray(network.augment(x), dtype=np.float64)
        scaled = np.ldexp(augmented, -shift * network.depth)
        if not np.array_equal(np.ldexp(scaled, shift * network.depth), augmented):
            return cls(network, augmented, y, 0)
        return cls(network, scaled, y, shift)

    @property
    def examples(self) -> int:
        """Number of examples n."""
        return len(self.y)

    def to_user(self, theta: Vector) -> Vector:
        """A point (or direction) in the user's units."""
        return np.ldexp(theta, -self.shift)

    def from_user(self, theta: Vector) -> Vector:
        """A point of the user's in internal units."""
        return np.ldexp(theta, self.shift)

    @property
    def squared_unit(self) -> float:
        """Factor from internal squared quantities (objective, multipliers) to the user's."""
        return float(np.ldexp(1.0, -2 * self.shift))

    def margins(self, theta: Vector) -> Vector:
        """``q_i`` in floating point (n)."""
        return self.y * self.network.outputs(theta, self.x)

    def exact_margins(self, theta: Vector) -> list[Fraction] | None:
        """``q_i`` exactly, or None where that would cost too much."""
        if exact_cost(self.network, self.examples) > WORK_LIMIT:
            return None
        outputs = exact_outputs(self.network, theta, self.x)
        return [int(label) * value for label, value in zip(self.y, outputs, strict=True)]

    def margin_bounds(self, theta: Vector) -> tuple[Vector, Vector]:
        """Proved lower and upper bounds (n each) on the margins, tight where that is cheap."""
        margins = self.margins(theta)
        error = self.network.forward_error(theta, self.x)[1]
        return margins - error, margins + error

    def is_feasible(self, theta: Vector) -> bool:
        """Whether every margin is proved to be at least 1. False means: not proved."""
        lower, upper = self.margin_bounds(theta)
        if not bool(np.all(upper >= 1.0)):
            return False
        if bool(np.all(lower >= 1.0)):
            return True
        exact = self.exact_margins(theta)
        return exact is not None and min(exact) >= 1

    def scaled_to_margin_one(
        self, theta: Vector, *, layer: int | None = None
    ) -> tuple[Vector, float] | None:
        """The point scaled to least margin 1 and a few ulps, exactly feasible, and the scale.

        With ``layer`` (0-based) only that layer's parameters are scaled. None where the least
        margin is not positive, or feasibility could not be proved.
        """
        least = float(self.margins(theta).min())
        if not least > 0.0 or not np.isfinite(least):
            return None
        part = slice(None) if layer is None else self.network.slices[layer]
        base = least ** (-1.0 / (self.network.depth if layer is None else 1))
        for step in (0, 1, 2, 4, 8, 16, 32, 128, 1024, 2**14, 2**20, 2**26):
            scale = base * (1.0 + step * ULP)
            candidate = theta.copy()
            candidate[part] *= scale
            if self.is_feasible(candidate):
                return candidate, scale
        return None

    @cached_property
    def input_norms(self) -> Vector:
        """Euclidean norms of the inputs (n)."""
        norms: Vector = np.linalg.norm(self.x, axis=1)
        return norms


def parse_dataset(
    network: Network, dataset: Any, *, pointer: str = "/dataset"
) -> tuple[Matrix, Vector]:
    """Inputs (n x input_size) and labels (n) of a ``{"x": ..., "y": ...}`` mapping.

    Raises :class:`InputError` naming the field, what was found and what was expected.
    """
    if not isinstance(dataset, dict):
        raise InputError.at(pointer, "expected an object with the fields x and y")
    for key in dataset:
        if key not in ("x", "y"):
            raise InputError.at(f"{pointer}/{key}", "unknown field; expected x and y only")
    for key in ("x", "y"):
        if key not in dataset:
            raise InputError.at(f"{pointer}/{key}", "this field is required")
    x = number_array(dataset["x"], 2, f"{pointer}/x")
    y = number_array(dataset["y"], 1, f"{pointer}/y")
    if x.shape[0] == 0:
        raise InputError.at(f"{pointer}/x", "found no examples, expected at least one")
    if x.shape[1] != network.input_size:
        raise InputError.at(
            f"{pointer}/x/0",
            f"found {x.shape[1]} numbers in an example, expected {network.input_size} "
            "(the network's inputs)",
        )
    if len(y) != len(x):
        raise InputError.at(
            f"{pointer}/y", f"found {len(y)} labels, expected {len(x)} (one for each example)"
        )
    _check_labels(y, f"{pointer}/y")
    return x, y


def _check_labels(y: Vector, pointer: str) -> None:
    wrong = np.flatnonzero(np.abs(y) != 1.0)
    if wrong.size == 0:
        return
    if bool(np.all((y == 0.0) | (y == 1.0))):
        hint = "; labels in {0, 1} are mapped by y -> 2 y - 1"
    else:
        hint = ""
    index = int(wrong[0])
    raise InputError.at(f"{pointer}/{index}", f"found {y[index]:g}, expected 1 or -1{hint}")


def number_array(values: Any, dimensions: int, pointer: str) -> NDArray[np.float64]:
    """Nested lists of plain numbers, or a numeric NumPy array, as finite float64.

    Booleans, strings and nulls are refused, as are ragged rows and numbers outside the doubles.
    """
    if isinstance(values, np.ndarray):
        if values.dtype.kind not in "fiu":
            raise InputError.at(pointer, f"found dtype {values.dtype}, expected numbers")
        array = values.astype(np.float64)
    else:
        array = _array_of_lists(values, dimensions, pointer)
    if array.ndim != dimensions:
        raise InputError.at(
            pointer, f"found an array of {array.ndim} dimensions, expected {dimensions}"
        )
    if not np.isfinite(array).all():
        index = np.argwhere(~np.isfinite(array))[0]
        where = "".join(f"/{int(i)}" for i in index)
        raise InputError.at(pointer + where, "found a number that is not finite")
    return array


def _array_of_lists(values: Any, dimensions: int, pointer: str) -> NDArray[np.float64]:
    if not isinstance(values, (list, tuple, np.ndarray)):
        raise InputError.at(pointer, f"found {_kind(values)}, expected a list of numbers")
    if dimensions == 1:
        for index, value in enumerate(values):
            if type(value) is not float and not _is_number(value):
                raise InputError.at(
                    f"{pointer}/{index}", f"found {_kind(value)}, expected a number"
                )
        try:
            return np.array(values, dtype=np.float64)
        except OverflowError:
            raise InputError.at(pointer, "found an integer beyond the doubles") from None
    rows = [_array_of_lists(row, dimensions - 1, f"{pointer}/{i}") for i, row in enumerate(values)]
    for index, row in enumerate(rows):
        if row.shape != rows[0].shape:
            raise InputError.at(
                f"{pointer}/{index}",
                f"found {len(row)} numbers, expected {len(rows[0])} as in the first row",
            )
    return np.array(rows, dtype=np.float64) if rows else np.zeros((0,) * dimensions)


def _is_number(value: Any) -> bool:
    number = isinstance(value, (int, float, np.integer, np.floating))
    return number and not isinstance(value, (bool, np.bool_))


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, (bool, np.bool_)):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, (list, tuple, np.ndarray)):
        return "a list"
    return "a number"


@dataclass(frozen=True)
class Point:
    """A feasible point of a problem in internal units, with what every method asks of it."""

    problem: Problem
    theta: Vector
    trace: Trace
    margins: Vector
    objective: float
    exact_objective: Fraction

    @classmethod
    def at(cls, problem: Problem, theta: Vector) -> Point:
        """Evaluate ``theta`` (p)."""
        trace = problem.network.forward(theta, problem.x)
        exact = exact_half_square(theta)
        return cls(problem, theta, trace, problem.y * trace.output, float(exact), exact)

    @cached_property
    def norm(self) -> float:
        """``||theta||``."""
        return float(np.linalg.norm(self.theta))

    @cached_property
    def excess(self) -> Vector:
        """``max(q_i - 1, 0)`` (n), from exact margins where those are cheap."""
        exact = self.problem.exact_margins(self.theta)
        if exact is None:
            return np.maximum(self.margins - 1.0, 0.0)
        return np.array([max(float(q - 1), 0.0) for q in exact])


_EXACT_SUM_LIMIT = 200_000


def exact_half_square(theta: Vector) -> Fraction:
    """1/2 ||theta||^2 exactly (for very long vectors, a proved upper bound within 1e-12)."""
    if theta.size <= _EXACT_SUM_LIMIT:
        return exact_square_sum(theta) / 2
    rough = float(np.dot(theta, theta))
    return Fraction(rough * (1.0 + 1e-12)) / 2


def duplicate_conflict(problem: Problem) -> str | None:
    """Why the data alone cannot be fitted by any parameters, or None where no proof was found.

    Exact: inputs are compared as rational rays. A zero input gives output zero; two inputs on one
    ray with opposite labels (for a linear net also: on opposite rays with equal labels) cannot
    both have a positive margin, since the net is positively homogeneous in its input.
    """
    seen: dict[tuple[int, ...], tuple[int, float]] = {}
    linear = problem.network.is_linear
    for index in range(problem.examples):
        ray = _primitive(problem.x[index])
        if not any(ray):
            return f"example {index + 1} has input zero, so its output is zero for all parameters"
        label = float(problem.y[index])
        for key, sign in ((ray, 1.0),) + (((tuple(-k for k in ray), -1.0),) if linear else ()):
            if key in seen and seen[key][1] * sign == -label:
                return (
                    f"examples {seen[key][0] + 1} and {index + 1} lie on one ray and ask for "
                    "outputs of opposite sign"
                    if sign > 0
                    else f"examples {seen[key][0] + 1} and {index + 1} lie on opposite rays and "
                    "ask a linear net for outputs of equal sign"
                )
        seen.setdefault(ray, (index, label))
    return None


def _primitive(row: Vector) -> tuple[int, ...]:
    integers, _ = scaled_integers(row)
    divisor = int(np.gcd.reduce(integers)) if len(integers) else 0
    return tuple(int(k) // divisor for k in integers) if divisor else tuple(0 for _ in integers)
