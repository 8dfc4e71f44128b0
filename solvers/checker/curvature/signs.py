"""Which hidden pre-activations can change their sign on a ball about a point.

With c_l^2 the most places at which one parameter of layer l stands, ||W(d)||_F <= c_l ||d||. Let
a be the inputs of a layer at the center on one example, and D a bound on how far they move in the
ball (0 in the first layer). A neuron with weights w that sees the part a_S of a moves by at most

    c_l r (||a_S|| + D) + ||w|| D,

and the outputs of the layer by at most c_l r (||a|| + D) + ||W||_F D together, whatever the signs.
A sign is fixed where |z| is no less than that. Neurons whose inputs are zero on the whole ball
(inputs that are 0; neurons below with a fixed negative sign, or whose inputs are zero) have z = 0
there: no sign is needed; nor is that of a neuron without a path to the output.
"""

from collections.abc import Iterator
from fractions import Fraction

from ..case import Case
from ..exact import Vector, root_above
from ..layers import Layer
from ..network import Theta

Place = tuple[int, int, int]
"""Hidden layer, example and neuron, from 0."""


def changing_signs(case: Case, center: Theta, radius: Fraction) -> set[Place]:
    """All pre-activations that are not proved to keep their sign within the radius."""
    network, problem = case.network, case.problem
    if not network.relu:
        return set()
    case.work.spend(problem.examples * (3 * network.terms + 40 * network.size))
    norms = [_Norms(layer, u) for layer, u in zip(network.layers, center, strict=True)]
    found: set[Place] = set()
    for example in range(problem.examples):
        x = problem.x.row(example)
        live, moved = [k != 0 for k in x.integers], Fraction(0)
        steps = list(network.activations(center, x))[:-1]
        for index, (value, pre) in enumerate(steps):
            layer, sizes = network.layers[index], norms[index]
            changes = list(_changes(layer, sizes, value, moved, radius, live))
            live = []
            for neuron, (z, change) in enumerate(zip(pre.fractions(), changes, strict=True)):
                is_open = change is not None and abs(z) < change
                if is_open and network.reaching[index][neuron]:
                    found.add((index, example, neuron))
                live.append(is_open or z > 0)
            step = sizes.factor * radius
            moved = step * (root_above(value.square()) + moved) + sizes.whole * moved
    return found


class _Norms:
    """Of one layer: c_l, ||W||_F, and the norm of each neuron's weights, rounded up."""

    def __init__(self, layer: Layer, u: Vector) -> None:
        self.factor = factor(layer)
        self.whole = whole_norm(layer, u)
        parts = [Vector(tuple([u.integers[k] for k in ks]), u.exponent) for ks, _ in layer.pairs]
        self.rows = [root_above(part.square()) for part in parts]


def factor(layer: Layer) -> Fraction:
    """The docstring's c_l, rounded up."""
    return root_above(Fraction(max(layer.uses)))


def whole_norm(layer: Layer, u: Vector) -> Fraction:
    """||W(u)||_F, rounded up."""
    uses = Vector(layer.uses, 0)
    return root_above(u.product(u).dot(uses))


def _changes(
    layer: Layer,
    norms: _Norms,
    value: Vector,
    moved: Fraction,
    radius: Fraction,
    live: list[bool],
) -> Iterator[Fraction | None]:
    """How far each pre-activation moves at most; None where its inputs stay zero."""
    known: dict[object, Fraction] = {}
    for (_, inputs), row in zip(layer.pairs, norms.rows, strict=True):
        if not any(live[i] for i in inputs):
            yield None
            continue
        if inputs not in known:
            part = Vector(tuple([value.integers[i] for i in inputs]), value.exponent)
            known[inputs] = root_above(part.square())
        yield norms.factor * radius * (known[inputs] + moved) + row * moved
