"""The linear predictor of a linear net, and the norm that the architecture induces on it.

A linear net computes <beta, x>. Fully connected nets induce the Euclidean norm ``l2``; diagonal
ones of depth m the exponent p = 2/m (``l1`` at m = 2, else ``lp``); m layers, one-filter circular
convolutions as long as the input and then a dense one, the exponent 2/m of the unitary discrete
Fourier transform of beta (``fourier_lp``). Norms are compared by N = ||beta||_p^p (for l2 the
square): strictly increasing in the norm, and a sum over coordinates.

The point's own predictor is divided by its least margin. With the certificate's unit s, a predictor
of the statement is multiplied by 2**(s m).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from .case import Case
from .cosines import squares
from .errors import require
from .exact import Vector, power_above, power_below, power_of_two, vector
from .fields import Object
from .layers import Layer
from .network import Network

Bounds = tuple[Fraction, Fraction]


@dataclass(frozen=True)
class Norm:
    """A norm by its name; ``depth`` is that of the net."""

    name: str
    depth: int

    @property
    def degree(self) -> int:
        """P = 2 / degree."""
        return 1 if self.name == "l2" else self.depth

    def power(self, value: Fraction) -> Bounds:
        """Bounds on value**p, for a value >= 0."""
        return power_below(value, 2, self.degree), power_above(value, 2, self.degree)

    def of(self, case: Case, beta: Sequence[Fraction], factor: Fraction = Fraction(1)) -> Bounds:
        """Bounds on N of ``factor`` > 0 times ``beta`` (dyadic numbers)."""
        if self.name == "fourier_lp":
            terms = [self._root(bounds, factor) for bounds in spectrum(case, vector(beta))]
        else:
            terms = [self.power(abs(b) * factor) for b in beta]
        return sum((a for a, _ in terms), Fraction(0)), sum((b for _, b in terms), Fraction(0))

    def _root(self, bounds: Bounds, factor: Fraction) -> Bounds:
        """(squared size)**(p/2)."""
        low, high = (value * factor**2 for value in bounds)
        return power_below(low, 1, self.degree), power_above(high, 1, self.degree)


def spectrum(case: Case, z: Vector) -> list[Bounds]:
    """Bounds on the squared sizes of all d coefficients of the unitary Fourier transform."""
    d = len(z)
    case.work.spend(2 * d * d)
    half = [(low / d, high / d) for low, high in squares(z, d // 2 + 1)]
    return [half[min(g, d - g)] for g in range(d)]


def norm_of(case: Case, claim: Object) -> Norm:
    """The norm that the claim names; rejects one that the network does not induce."""
    name, own = claim.text("norm"), _induced(case.network)
    require(name in own, "norm", f"the network induces {own}, not {name[:20]!r}")
    return Norm(name, case.network.depth)


def _induced(network: Network) -> list[str]:
    """The norm's names: several where there is but one input."""
    *hidden, last = network.layers
    if network.relu or not last.is_full:
        return []
    kinds = (
        ("l2", all(layer.is_full for layer in hidden)),
        ("l1" if network.depth == 2 else "lp", all(_is_diagonal(layer) for layer in hidden)),
        ("fourier_lp", all(_is_circular(layer) for layer in hidden)),
    )
    return [name for name, holds in kinds if holds]


def _is_diagonal(layer: Layer) -> bool:
    own = layer.size == layer.inputs == layer.outputs
    return own and all(
        (list(ks), list(inputs)) == ([j], [j]) for j, (ks, inputs) in enumerate(layer.pairs)
    )


def _is_circular(layer: Layer) -> bool:
    d = layer.inputs
    return layer.size == layer.outputs == d and all(
        sorted(zip(*pair, strict=True)) == [(t, (j + t) % d) for t in range(d)]
        for j, pair in enumerate(layer.pairs)
    )


def length(case: Case, value: Fraction) -> Fraction:
    """A predictor's length of the statement in the units of the evidence."""
    return value * power_of_two(case.unit * case.network.depth)


def own_predictor(case: Case) -> tuple[list[Fraction], Fraction]:
    """The point's predictor, and one over its least margin."""
    signal = Vector((1,), 0)
    case.work.spend(case.network.terms)
    for layer, u in zip(reversed(case.network.layers), reversed(case.theta), strict=True):
        signal = layer.adjoint(u, signal)
    least = min(case.margins)
    require(least > 0, "margin", "the point's predictor has a margin that is not positive")
    return signal.fractions(), 1 / least


def margins_of(case: Case, beta: Sequence[Fraction]) -> list[Fraction]:
    """y_i <beta, x_i>."""
    case.work.spend(case.problem.examples * len(beta))
    values = case.problem.x.applied(vector(beta)).fractions()
    return [y * v for y, v in zip(case.problem.y, values, strict=True)]


def require_separates(case: Case, beta: Sequence[Fraction], where: str) -> None:
    """Reject unless every margin is at least 1."""
    for i, margin in enumerate(margins_of(case, beta)):
        require(margin >= 1, "margin", f"example {i + 1} of {where} has a margin below 1")
