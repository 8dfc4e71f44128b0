"""The moving layer and the hidden layers above it: boxes for pre-activations, linear bounds.

With u the parameters of the moving layer, z^0 = <its gradients, u> and, frozen weights above,

    a^j = sigma(z^j),     z^(j+1) = W a^j,     q_i = y_i z^H   (j = 0 .. H - 1; z^H the output).

All of this is homogeneous in u. Where some signs are known, and with r = ||u||, every z lies in
r [lo, hi] and

    a = z  (lo >= 0),    a = 0  (hi <= 0),    t z <= a <= hi (z - r lo) / (hi - lo)  otherwise,

any t in [0, 1]. Pulling a combination of the z^j down through these, a positive coefficient by
the upper line and a negative one by the lower, leaves <g, u> + c r <= (||g|| + c) r. Known signs
may add beta z >= 0 (or -beta z) on the way.

The boxes [lo, hi] come from the same bounds, ||g|| + c, and from interval arithmetic, level by
level. All errors of floating point are on the safe side: bounds are rounded up, and an error
beside every coefficient says how far it may be from the exact one.

Reference: Zhang et al., Efficient Neural Network Robustness Certification with General Activation
Functions (2018), for boxes and pull-backs; the known signs as in Wang et al., Beta-CROWN (2021).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solvers.layerwise.frozen import FrozenRest, rounding_factor
from solvers.network import Layer
from solvers.norms import row_norms

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Mask = NDArray[np.bool_]
Signs = NDArray[np.int8]
Indices = NDArray[np.int64]

_UP = 1.0 + 1e-12
_SMALL, _LARGE = 1e-140, 1e150
"""Lengths are rounded up to the one, bounds down to the other: their squares are normal numbers."""
_NEARLY, _NARROW = 1e-11, 1e-250
_UNDERFLOW = 1e-300
"""Added to every error: what underflow may take away."""


@dataclass(frozen=True)
class Level:
    """Boxes of one hidden layer's pre-activations (n x k each), for ||u|| = 1."""

    lower: Matrix
    upper: Matrix

    @cached_property
    def off(self) -> Mask:
        """Where the activation is 0."""
        return self.upper <= 0.0

    @cached_property
    def on(self) -> Mask:
        """Where it is the identity."""
        return (self.lower >= 0.0) & ~self.off

    @cached_property
    def open(self) -> Mask:
        """Where the sign is not known."""
        return ~(self.on | self.off)

    @cached_property
    def nearly_on(self) -> Mask:
        """Where it is the identity but for a box's end that rounding may have made."""
        return self.on | (self.open & (-self.lower <= _NEARLY * self.upper))

    @cached_property
    def bent(self) -> Mask:
        """Where both ends of an open box are clear of zero, and more than underflow makes them."""
        clear = ~self.nearly_on & (self.upper > -_NEARLY * self.lower)
        return self.open & clear & (self.upper - self.lower > _NARROW)

    @cached_property
    def chord(self) -> Matrix:
        """Slope of the line above an open ReLU, in [0, 1]."""
        with np.errstate(all="ignore"):
            slope = self.upper / (self.upper - self.lower)
        return np.where(self.open & np.isfinite(slope), np.clip(slope, 0.0, 1.0), 0.0)

    @cached_property
    def offset(self) -> Matrix:
        """Its height at z = 0, rounded up: the line is above the ReLU at both ends."""
        ends = np.maximum(-self.chord * self.lower, (1.0 - self.chord) * self.upper)
        return np.where(self.open, ends * _UP + _UNDERFLOW, 0.0)

    @cached_property
    def lean(self) -> Matrix:
        """The slope t that boxes take below an open ReLU."""
        return np.where(self.upper > -self.lower, 1.0, 0.0)


@dataclass(frozen=True)
class Region:
    """Known signs (n x k, in {-1, 0, 1}, one array a level) and the boxes there."""

    signs: tuple[Signs, ...]
    levels: tuple[Level, ...]

    @property
    def is_empty(self) -> bool:
        """Whether a box is empty: no u has these signs."""
        return any(bool(np.any(level.lower > level.upper)) for level in self.levels)


@dataclass(frozen=True)
class Pulled:
    """Bounds <g, u> + c ||u||: ``gradients`` (r x p), their ``errors`` (r), ``constants`` (r).

    ``errors`` bound the norm of what is missing in g; ``constants`` are rounded up.
    """

    gradients: Matrix
    errors: Vector
    constants: Vector

    @cached_property
    def most(self) -> Vector:
        """Upper bounds (r) over ||u|| <= 1."""
        lengths = row_norms(self.gradients) * _UP + self.errors + self.constants
        return np.where(lengths > 0.0, lengths * _UP + _UNDERFLOW, 0.0)


@dataclass(frozen=True)
class Above:
    """The frozen part of the net from ``layer`` on."""

    layer: FrozenRest

    @cached_property
    def y(self) -> Vector:
        """Labels (n)."""
        return self.layer.case.point.problem.y

    @cached_property
    def operator(self) -> Layer:
        """The moving layer."""
        return self.layer.case.point.problem.network.layers[self.layer.index]

    @cached_property
    def frozen(self) -> tuple[tuple[Layer, Vector], ...]:
        """The layers above with their weights, the last one included (H of them)."""
        network, theta = self.layer.case.point.problem.network, self.layer.case.point.theta
        parts = list(zip(network.layers, network.slices, strict=True))
        return tuple((layer, theta[part]) for layer, part in parts[self.layer.index + 1 :])

    @property
    def hidden(self) -> int:
        """Number H of hidden layers from the moving one on."""
        return len(self.frozen)

    @cached_property
    def reached(self) -> tuple[Mask, ...]:
        """For every level, which neurons (k) the output depends on."""
        return self.layer.reaches[self.layer.index :]

    @cached_property
    def inputs(self) -> Matrix:
        """What the moving layer sees (n x d)."""
        return self.layer.case.point.trace.post[self.layer.index]

    @cached_property
    def input_errors(self) -> Matrix:
        """How far that may be from the exact values (n x d)."""
        if self.layer.index == 0:
            return np.zeros_like(self.inputs)
        point, below = self.layer.case.point, self.layer.index - 1
        error = point.problem.network.forward_error(point.theta, point.problem.x)[0][below]
        return np.where(point.trace.pre[below] + error * _UP <= 0.0, 0.0, error)

    @cached_property
    def rounding(self) -> float:
        """Errors of sums of products, relative to the sums of their magnitudes."""
        return rounding_factor(self.layer)

    @cached_property
    def slopes_of_level_0(self) -> Pulled:
        """The gradients of z^0 in u, example by example, neuron by neuron (n k x p)."""
        n, k = len(self.y), self.operator.outputs
        return self._in_u(np.tile(np.eye(k), (n, 1)), np.zeros((n * k, k)), np.repeat(range(n), k))

    def region(self, signs: tuple[Signs, ...]) -> Region:
        """The boxes where the ``signs`` are known."""
        most = self.slopes_of_level_0.most.reshape(signs[0].shape)
        levels = [_clipped(-most, most, signs[0])]
        for index in range(1, self.hidden):
            low, high = self._interval(index, levels[-1])
            below, above = self._by_lines(index, levels, signs[index].shape)
            box = np.maximum(low, below), np.minimum(high, above)
            levels.append(_clipped(*box, signs[index]))
        return Region(signs, tuple(levels))

    def pulled(
        self,
        levels: Sequence[Level],
        top: Matrix,
        examples: Indices,
        slopes: Sequence[Matrix],
        signed: Sequence[Matrix] = (),
    ) -> Pulled:
        """Bound <top_r, z> (z of the level above ``levels``, at example ``examples[r]``).

        ``slopes`` are the t (n x k each); ``signed`` are beta times the sign (n x k each).
        """
        gamma = self.rounding
        constants = np.zeros(len(top))
        errors = np.zeros_like(top)
        for index in reversed(range(len(levels))):
            (operator, weights), level = self.frozen[index], levels[index]
            size = np.abs(weights)
            errors = operator.adjoint(size, errors + gamma * (np.abs(top) + errors)) + _UNDERFLOW
            top = operator.adjoint(weights, top)
            open_, off = level.open[examples], level.off[examples]
            most = np.where(open_, np.maximum(top, 0.0) + errors, 0.0)
            constants += (most * level.offset[examples]).sum(axis=1) * (1.0 + gamma) + _UNDERFLOW
            line = np.where(top > 0.0, level.chord[examples], slopes[index][examples])
            unsure = open_ & (np.abs(top) <= errors)
            errors = np.where(off, 0.0, np.where(unsure, 3.0, 1.0) * errors)
            top = np.where(off, 0.0, np.where(open_, line * top, top))
            if signed:
                top = top + signed[index][examples]
                errors = errors + gamma * np.abs(signed[index][examples])
            errors = (errors + gamma * np.abs(top)) * _UP + _UNDERFLOW
        found = self._in_u(top, errors, examples)
        return Pulled(found.gradients, found.errors, constants)

    def least_squared(
        self,
        region: Region,
        weights: Vector,
        slopes: Sequence[Matrix],
        beta: Sequence[Matrix],
    ) -> float:
        """A lower bound on ||u||^2 over the feasible u of the region, rounded down.

        ``weights`` (n) >= 0 of the margins, ``slopes`` in [0, 1] and ``beta`` >= 0 (n x k a
        level). With sum w_i q_i(u) <= <g, u> + c ||u|| there, sum w <= (||g|| + c) ||u||.
        """
        signed = [b * s for b, s in zip(beta, region.signs, strict=True)]
        examples = np.arange(len(self.y))
        top = (weights * self.y)[:, None]
        with np.errstate(all="ignore"):
            rows = self.pulled(region.levels, top, examples, slopes, signed)
            gain = float(weights.sum()) * (1.0 - self.rounding)
            sizes = np.abs(rows.gradients).sum(axis=0)
            error = float(rows.errors.sum()) + self.rounding * float(np.linalg.norm(sizes))
            length = float(np.linalg.norm(rows.gradients.sum(axis=0))) + error
            length = (length + float(rows.constants.sum())) * _UP
            if not (gain > 0.0 and length < np.inf):
                return 0.0
            return float(min(gain / max(length, _SMALL), _LARGE) ** 2) * (1.0 - 1e-14)

    def _in_u(self, top: Matrix, errors: Matrix, examples: Indices) -> Pulled:
        """<top_r, z^0> as a linear function of u; ``errors`` are those of ``top``."""
        seen, missing = self.inputs[examples], self.input_errors[examples]
        size = np.abs(seen) + missing
        wrong = self.operator.gradient(size, errors + self.rounding * np.abs(top))
        wrong = wrong + self.operator.gradient(missing, np.abs(top))
        gradients = self.operator.gradient(seen, top)
        present = self.operator.gradient(_present(size), _present(np.abs(top) + errors))
        lengths = row_norms(wrong) * _UP + _UNDERFLOW * present.any(axis=1)
        return Pulled(gradients, lengths, np.zeros(len(top)))

    def _interval(self, index: int, level: Level) -> tuple[Matrix, Matrix]:
        """z^index by interval arithmetic from the box of the level below."""
        operator, weights = self.frozen[index - 1]
        least, most = np.maximum(level.lower, 0.0), np.maximum(level.upper, 0.0)
        up, down = np.maximum(weights, 0.0), np.minimum(weights, 0.0)

        def end(gaining: Matrix, losing: Matrix) -> tuple[Matrix, Matrix]:
            """The sum and its error, zero where every product is."""
            gains, losses = operator.apply(up, gaining), operator.apply(down, losing)
            terms = operator.apply(_present(up), _present(gaining))
            terms = terms + operator.apply(_present(down), _present(losing))
            error = self.rounding * (gains - losses) * _UP + _UNDERFLOW
            return np.asarray(gains + losses), np.where(terms > 0.0, error, 0.0)

        low, below = end(least, most)
        high, above = end(most, least)
        return low - below, high + above

    def _by_lines(
        self, index: int, levels: Sequence[Level], shape: tuple[int, ...]
    ) -> tuple[Matrix, Matrix]:
        """z^index by pulling every one of its neurons down to u."""
        n, k = shape
        units = np.tile(np.vstack([np.eye(k), -np.eye(k)]), (n, 1))
        examples = np.repeat(np.arange(n), 2 * k)
        slopes = [level.lean for level in levels]
        ends = self.pulled(levels, units, examples, slopes).most.reshape(n, 2, k)
        return -ends[:, 1], ends[:, 0]


def _present(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where a number is not zero."""
    return np.asarray(values != 0.0, dtype=np.float64)


def _clipped(lower: Matrix, upper: Matrix, signs: Signs) -> Level:
    """The box where the known signs hold."""
    least = np.where(signs > 0, np.maximum(lower, 0.0), lower)
    most = np.where(signs < 0, np.minimum(upper, 0.0), upper)
    return Level(least, most)
