"""Kinks of one example at a point: which slopes are free, and which of their choices are attained.

Hidden pre-activation z of neuron j is a kink where z^2 <= kink^2 ||w_j||^2 ||input||^2 (both norms
over the neuron's connections), the neuron has a path to the output, and some input of it can be
non-zero near the point: a first-layer input that is not zero, or a neuron that is active or
kinked. Elsewhere the slope is 1 (z > 0) or 0.

A choice of slopes at the kinks is *attained* if the gradient there is a limit of gradients near by,
or a mean of such limits. Sufficient: in every layer the gradients of the kinked pre-activations
in that layer's own parameters are linearly independent (then every sign pattern is attained, and
slopes between 0 and 1 are means of patterns). Or: the slopes are 0 and 1, and theta + t d has just
these signs for all small t > 0, d a given direction; pre-activations are polynomials in t there,
those of kinks without their constant term. Kinks that no signal from the output reaches, because
the weights above them are zero, do not matter.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from .errors import require
from .exact import Vector
from .layers import Layer
from .network import Network, Theta

Polynomial = list[Fraction]
Place = tuple[int, int]
"""Hidden layer and neuron, from 0."""


@dataclass(frozen=True)
class Kinks:
    """Of one example: places of its kinks, those that matter, and slopes (0 at kinks)."""

    free: tuple[Place, ...]
    weighty: tuple[Place, ...]
    active: tuple[tuple[bool, ...], ...]
    inputs: tuple[Vector, ...]

    def slopes(self, chosen: dict[Place, Fraction]) -> list[Vector]:
        """Slopes of every hidden layer, with some values at the kinks."""
        found = []
        for layer, row in enumerate(self.active):
            values = [Fraction(int(a)) for a in row]
            for (at, neuron), slope in chosen.items():
                if at == layer:
                    values[neuron] = slope
            bits = max((v.denominator.bit_length() for v in values), default=1) - 1
            whole = [v.numerator << (bits - v.denominator.bit_length() + 1) for v in values]
            found.append(Vector(tuple(whole), -bits))
        return found


def find_kinks(network: Network, theta: Theta, x: Vector, tolerance: Fraction) -> Kinks:
    """The kinks of the example with input ``x``."""
    free: list[Place] = []
    active: list[tuple[bool, ...]] = []
    inputs: list[Vector] = []
    live = [k != 0 for k in x.integers]
    for index, (value, pre) in enumerate(network.activations(theta, x)):
        inputs.append(value)
        if index == network.depth - 1:
            break
        if not network.relu:
            active.append((True,) * len(pre))
            continue
        layer = network.layers[index]
        near = _near(layer, theta[index], value, pre, live, tolerance)
        on = tuple(k > 0 and not n for k, n in zip(pre.integers, near, strict=True))
        reached = network.reaching[index]
        free += [(index, j) for j, n in enumerate(near) if n and reached[j]]
        active.append(on)
        live = [a or n for a, n in zip(on, near, strict=True)]
    weighty = _weighty(network, theta, free, active)
    return Kinks(tuple(free), weighty, tuple(active), tuple(inputs))


def _near(
    layer: Layer, u: Vector, value: Vector, pre: Vector, live: list[bool], tolerance: Fraction
) -> list[bool]:
    """Which neurons are kinks, whether or not they have a path to the output."""
    found = []
    whole, part = tolerance.numerator**2, tolerance.denominator**2
    for (parameters, inputs), z in zip(layer.pairs, pre.integers, strict=True):
        touched = any(live[i] for i in inputs)
        weights = sum(u.integers[k] ** 2 for k in parameters)
        seen = sum(value.integers[i] ** 2 for i in inputs)
        found.append(touched and part * z * z <= whole * weights * seen)
    return found


def _weighty(
    network: Network, theta: Theta, free: list[Place], active: list[tuple[bool, ...]]
) -> tuple[Place, ...]:
    """The kinks that a signal from the output can reach, whatever the other kinks' slopes are."""
    found: list[Place] = []
    passed = [True]
    for index in range(network.depth - 1, 0, -1):
        reached = [False] * network.layers[index].inputs
        for on, (parameters, inputs) in zip(passed, network.layers[index].pairs, strict=True):
            if on:
                for k, i in zip(parameters, inputs, strict=True):
                    reached[i] = reached[i] or theta[index].integers[k] != 0
        kinked = {j for layer, j in free if layer == index - 1}
        found += [(index - 1, j) for j in kinked if reached[j]]
        passed = [
            r and (a or j in kinked)
            for j, (r, a) in enumerate(zip(reached, active[index - 1], strict=True))
        ]
    return tuple(sorted(found))


def require_attained(
    network: Network,
    theta: Theta,
    x: Vector,
    kinks: Kinks,
    chosen: dict[Place, Fraction],
    direction: Theta | None,
) -> None:
    """Reject slopes at the kinks that are not proved to be attained."""
    if direction is not None:
        _require_pattern(network, theta, x, kinks, chosen, direction)
        return
    for layer in {place[0] for place in kinks.weighty}:
        neurons = [j for at, j in kinks.weighty if at == layer]
        independent = _independent(network.layers[layer], kinks.inputs[layer], neurons)
        require(
            independent,
            "attained slopes",
            f"kinks of layer {layer + 1} may depend on each other, and no direction is given",
        )


def _independent(layer: Layer, value: Vector, neurons: Sequence[int]) -> bool:
    """Whether the gradients of these pre-activations in the layer's parameters are independent."""
    rows: list[dict[int, Fraction]] = []
    for j in neurons:
        row: dict[int, Fraction] = {}
        for k, i in zip(*layer.pairs[j], strict=True):
            row[k] = row.get(k, Fraction(0)) + value.integers[i]
        rows.append({k: v for k, v in row.items() if v})
    if not layer.shares:
        return all(rows)
    return all(_reduced(rows, index) for index in range(len(rows)))


def _reduced(rows: list[dict[int, Fraction]], index: int) -> bool:
    """Eliminate the row's first parameter from the later rows; False where the row is zero."""
    row = rows[index]
    if not row:
        return False
    pivot = min(row)
    for later in range(index + 1, len(rows)):
        factor = rows[later].get(pivot, Fraction(0)) / row[pivot]
        if factor:
            keys = rows[later].keys() | row.keys()
            mixed = {k: rows[later].get(k, 0) - factor * row.get(k, 0) for k in keys}
            rows[later] = {k: Fraction(v) for k, v in mixed.items() if v}
    return True


def _require_pattern(
    network: Network,
    theta: Theta,
    x: Vector,
    kinks: Kinks,
    chosen: dict[Place, Fraction],
    direction: Theta,
) -> None:
    """Reject unless theta + t d has the chosen signs at all weighty kinks for small t > 0."""
    values: list[Polynomial] = [[v] for v in x.fractions()]
    for index, layer in enumerate(network.layers[:-1]):
        pre = _polynomials(layer, theta[index], direction[index], values)
        values = []
        for j in range(layer.outputs):
            kinked = (index, j) in kinks.free
            if kinked:
                pre[j] = [Fraction(0), *pre[j][1:]]
            lead = next((c for c in pre[j] if c), Fraction(0))
            if (index, j) in kinks.weighty:
                slope = chosen.get((index, j), Fraction(0))
                fits = lead != 0 and slope == int(lead > 0)
                place = f"layer {index + 1}, neuron {j + 1}"
                require(
                    fits, "attained slopes", f"the direction does not give the slope of {place}"
                )
            on = lead > 0 if kinked else kinks.active[index][j]
            values.append(pre[j] if on else [Fraction(0)])


def _polynomials(layer: Layer, u: Vector, d: Vector, values: list[Polynomial]) -> list[Polynomial]:
    """W(u + t d) a(t), coefficient by coefficient."""
    found = []
    for parameters, inputs in layer.pairs:
        total: Polynomial = [Fraction(0)] * (
            max(len(values[i]) for i in inputs) + 1 if inputs else 1
        )
        for k, i in zip(parameters, inputs, strict=True):
            for power, coefficient in enumerate(values[i]):
                total[power] += u[k] * coefficient
                total[power + 1] += d[k] * coefficient
        found.append(total)
    return found
