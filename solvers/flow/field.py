"""The right-hand sides of gradient flow, with exact Jacobians, in reduced coordinates.

With G = sum p_i grad q_i(theta), p = softmax(log(-l'(q_i))), gradient flow moves along G. Two
clocks are used (section 8 of the theory notes):

    before separation    d theta/d tau = -grad log L = e^(A - log L) G,    dt = d tau / L,
    afterwards           d phi/ds = G/<phi, G> - phi,    theta = e^s phi,  ||phi|| = 1,

A = log sum(-l'). From a norm on at which errors in the margins would spoil p, ``held_from``, p is
computed from the margins that the same direction has at that norm: the margins with weight are
held together to the same relative precision, which is what the growing norm does too.

At a kink the flow is a differential inclusion. The derivative of the ReLU is replaced by a ramp of
width ``RAMP`` that takes the value sigma'(0) at 0; for width 0 its solutions tend to Filippov's,
sliding along a kink included, and a stiff integrator does not mind.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solvers.flow.loss import LossName, Pull, log_loss, pull
from solvers.flow.model import FlowModel
from solvers.flow.symmetry import Symmetry

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]
Arrays = tuple[NDArray[np.float64], ...]

RAMP = 1e-10
"""Width of the ramp, relative to ||theta_l|| ||input||."""

_NO_WEIGHT = 1e-30


@dataclass(frozen=True, eq=False)
class Here:
    """The field at one point: theta (p), margins (n), weights, slopes and G (reduced, r)."""

    theta: Vector
    lifted: Vector
    margins: Vector
    pull: Pull
    slopes: Arrays
    widths: Arrays
    pre: Arrays
    gradient: Vector


@dataclass(frozen=True, eq=False)
class Field:
    """Gradient flow of one model on one data set (x augmented, n x d; y, n)."""

    model: FlowModel
    x: Matrix
    y: Vector
    loss: LossName
    slope_at_zero: float
    symmetry: Symmetry
    held_from: float = np.inf

    def at(self, u: Vector) -> Here:
        """The field at reduced coordinates ``u`` (r)."""
        theta = self.symmetry.expand(u)
        lifted = self.model.lift(theta)
        carrier = self.model.carrier
        trace = carrier.forward(lifted, self.x)
        margins = self.symmetry.average(self.y * trace.output)
        weights = self._pull(float(np.linalg.norm(u)), margins)
        widths = self._widths(lifted, trace.post)
        slopes = self._slopes(trace.pre, widths)
        total = carrier.weighted_gradient(lifted, self.x, weights.weights * self.y, slopes)
        gradient = self.symmetry.reduce(self.model.pull_rows(total[None, :])[0])
        return Here(theta, lifted, margins, weights, slopes, widths, trace.pre, gradient)

    def _pull(self, size: float, margins: Vector) -> Pull:
        over = (np.log(size) if size > 0.0 else -np.inf) - self.held_from
        if not over > 0.0:
            return pull(self.loss, margins)
        shrink = float(np.exp(-self.degree * over))
        held = pull(self.loss, shrink * margins)
        factor = pull(self.loss, margins).log_factor
        return Pull(held.weights, factor, shrink * held.decay)

    def _widths(self, lifted: Vector, post: Arrays) -> Arrays:
        """Widths of the ramps (n x 1), one array a hidden layer."""
        if self.model.carrier.is_linear:
            return ()
        size = RAMP * float(np.linalg.norm(lifted))
        return tuple(size * np.linalg.norm(a, axis=1, keepdims=True) + 1e-300 for a in post[:-1])

    def _slopes(self, pre: Arrays, widths: Arrays) -> Arrays:
        if self.model.carrier.is_linear:
            return tuple(np.ones_like(z) for z in pre)
        with np.errstate(over="ignore"):
            return tuple(
                np.clip(self.slope_at_zero + z / width, 0.0, 1.0)
                for z, width in zip(pre, widths, strict=True)
            )

    def log_loss(self, margins: Vector) -> float:
        """The logarithm of the loss."""
        return log_loss(self.loss, margins)

    def symmetry_defect(self, here: Here) -> float:
        """How far G leaves the subspace, relative to its size: 0 up to rounding."""
        if self.symmetry.is_trivial:
            return 0.0
        rows = self.model.carrier.weighted_gradient(
            here.lifted, self.x, here.pull.weights * self.y, here.slopes
        )
        full = self.model.pull_rows(rows[None, :])[0]
        size = float(np.linalg.norm(full))
        inside = self.symmetry.expand(self.symmetry.reduce(full))
        return float(np.linalg.norm(full - inside)) / size if size > 0.0 else 0.0

    def curvature(self, here: Here) -> tuple[Matrix, Vector]:
        """dG/du (r x r) and -dA/du = sum p_i decay_i grad q_i (r)."""
        carrier, weights = self.model.carrier, here.pull
        rows = carrier.gradients(here.lifted, self.x, here.slopes)
        rows = self._reduced(self.y[:, None] * rows)
        damped = weights.weights * weights.decay
        falling = damped @ rows
        matrix = np.zeros((rows.shape[1], rows.shape[1]))
        if not self._one_class(weights.weights):
            # Centred, so that nothing large cancels: rows are multiplied by ||theta||^m in effect.
            matrix -= ((rows - weights.weights @ rows).T * damped) @ rows
        pulled = weights.weights * self.y
        hessian = carrier.hessian(here.lifted, self.x, pulled, here.slopes)
        matrix += self._reduced(self._reduced(hessian).T)
        return matrix + self._ramps(here, pulled), falling

    def _one_class(self, weights: Vector) -> bool:
        """Whether all the weight is on examples whose margins are tied for ever."""
        return len(np.unique(self.symmetry.examples[weights > _NO_WEIGHT])) < 2

    def _reduced(self, rows: Matrix) -> Matrix:
        return self.symmetry.reduce_rows(self.model.pull_rows(rows))

    def _ramps(self, here: Here, pulled: Vector) -> Matrix:
        """The part of dG/du that comes from slopes that change: rank one for each ramp."""
        total = np.zeros((self.symmetry.size, self.symmetry.size))
        if not here.widths:
            return total
        carrier = self.model.carrier
        signals = carrier.backward(here.lifted, self.x, slopes=here.slopes)
        for index, (slope, width) in enumerate(zip(here.slopes, here.widths, strict=True)):
            examples, neurons = np.nonzero((slope > 0.0) & (slope < 1.0))
            if not examples.size:
                continue
            above = carrier.layers[index + 1]
            part = here.lifted[carrier.slices[index + 1]]
            back = above.adjoint(part, signals[index + 1])[examples, neurons]
            rows = self._reduced(
                carrier.preactivation_gradients(
                    here.lifted, self.x, here.slopes, index, neurons, examples
                )
            )
            sizes = pulled[examples] * back / width[examples, 0]
            total += (rows.T * sizes) @ rows
        return total

    def before_separation(self, _: float, u: Vector) -> Vector:
        """The velocity d theta/d tau."""
        here = self.at(u)
        return self._log_slope(here) * here.gradient

    def before_separation_jacobian(self, _: float, u: Vector) -> Matrix:
        """Its derivative (r x r)."""
        here = self.at(u)
        factor = self._log_slope(here)
        matrix, falling = self.curvature(here)
        change = factor * here.gradient - falling
        return factor * (matrix + np.outer(here.gradient, change))

    def _log_slope(self, here: Here) -> float:
        """-L'/L along G: 1 for the exponential loss."""
        return float(np.exp(here.pull.log_factor - self.log_loss(here.margins)))

    def by_norm(self, s: float, phi: Vector) -> Vector:
        """The velocity d phi/ds at norm e^s."""
        gradient = self.at(np.exp(s) * phi).gradient
        return np.asarray(gradient / float(phi @ gradient) - phi, dtype=np.float64)

    def by_norm_jacobian(self, s: float, phi: Vector) -> Matrix:
        """Its derivative in phi (r x r)."""
        scale = float(np.exp(s))
        here = self.at(scale * phi)
        g = here.gradient
        growth = float(phi @ g)
        matrix = scale / growth * self.curvature(here)[0]
        unit = g / growth
        derivative: Matrix = matrix - np.outer(unit, unit + matrix.T @ phi)
        return derivative - np.eye(len(phi))

    @cached_property
    def degree(self) -> int:
        """Depth m."""
        return self.model.base.depth
