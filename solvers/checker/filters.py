"""Depth 2 with shared weights: the net as filters, its independent parts.

Two parameters belong to one filter where a chain of hidden neurons with an output weight connects
them: a neuron connects its own weights and its output weight. Then

    y_i Phi(theta; x_i) = sum over filters of sum over terms of y_i f v_o sigma(s <r_k, w>)

with w (a) the filter's weights in the first layer, v (b) those in the second, both in the order in
which they stand in theta, and one term for every neuron and example whose patch is not zero. The
patch is f s r_k: the plane r_k is a patch scaled by a power of two f so that its largest entry is
in [1/2, 1), and opposite patches share a plane (s = -1 for that of the later one). Neurons are
taken in order, for each one all examples in order; planes and filters are numbered as they appear.
Filters are of one kind where these numbers are equal (so exchanging their parameters changes
nothing), and are then put side by side.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from operator import neg

from .case import Case
from .errors import require
from .exact import Matrix
from .network import Network

Plane = tuple[int, ...]
"""Integers without a common factor 2; the plane is these divided by 2**(bits of the largest)."""
Place = tuple[int, int, int]
"""Output weight, plane and side of a term."""


@dataclass(frozen=True)
class Filter:
    """Sizes a and b, planes, and for every place the terms (example, y_i, exponent of f)."""

    weights: int
    outputs: int
    planes: tuple[Plane, ...]
    terms: tuple[tuple[Place, tuple[tuple[int, int, int], ...]], ...]
    kind: int


@dataclass(frozen=True)
class _Neuron:
    """A hidden neuron's weights, their inputs, and its output weight."""

    weights: tuple[int, ...]
    inputs: tuple[int, ...]
    output: int


def filters_of(case: Case) -> tuple[Filter, ...]:
    """The filters, kind by kind."""
    found = _neurons(case.network)
    kinds: dict[object, int] = {}
    filters = []
    for members in _components(found, case.network):
        sizes, planes, terms = _parts(members, case)
        kind = kinds.setdefault((sizes, planes, terms), len(kinds))
        filters.append(Filter(*sizes, planes, terms, kind))
    return tuple(sorted(filters, key=lambda part: part.kind))


def _neurons(network: Network) -> list[_Neuron]:
    require(network.depth == 2, "kind of network", "the rule is for depth 2")
    hidden = network.layers[0].pairs
    used = sorted(zip(*reversed(network.layers[1].pairs[0]), strict=True))
    return [_Neuron(tuple(hidden[j][0]), tuple(hidden[j][1]), k) for j, k in used]


def _components(found: Sequence[_Neuron], network: Network) -> list[list[_Neuron]]:
    """Neurons by filter, in order of the first neuron."""
    parent = list(range(network.size))
    offset = network.layers[0].size

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    for neuron in found:
        for k in neuron.weights:
            parent[root(k)] = root(offset + neuron.output)
    groups: dict[int, list[_Neuron]] = {}
    for neuron in found:
        groups.setdefault(root(offset + neuron.output), []).append(neuron)
    return list(groups.values())


def _parts(
    members: Sequence[_Neuron], case: Case
) -> tuple[
    tuple[int, int], tuple[Plane, ...], tuple[tuple[Place, tuple[tuple[int, int, int], ...]], ...]
]:
    x, y = case.problem.x, case.problem.y
    first = {k: at for at, k in enumerate(sorted({k for n in members for k in n.weights}))}
    second = {k: at for at, k in enumerate(sorted({n.output for n in members}))}
    case.work.spend(4 * len(y) * len(members) * len(first))
    planes: dict[Plane, int] = {}
    terms: dict[Place, list[tuple[int, int, int]]] = {}
    for neuron in members:
        for i, label in enumerate(y):
            patch = _patch(neuron, first, x, i)
            if any(patch):
                plane, side, exponent = _placed(patch, planes)
                place = (second[neuron.output], plane, side)
                terms.setdefault(place, []).append((i, label, exponent + x.exponent))
    listed = tuple((place, tuple(found)) for place, found in terms.items())
    return (len(first), len(second)), tuple(planes), listed


def _patch(neuron: _Neuron, first: dict[int, int], x: Matrix, example: int) -> list[int]:
    """What the filter's weights are multiplied with."""
    row, patch = x.rows[example], [0] * len(first)
    for k, i in zip(neuron.weights, neuron.inputs, strict=True):
        patch[first[k]] += row[i]
    return patch


def _placed(patch: Sequence[int], planes: dict[Plane, int]) -> tuple[int, int, int]:
    """Number and side of the patch's plane, and the exponent of its factor."""
    common = 0
    for value in patch:
        common |= value
    zeros = (common & -common).bit_length() - 1
    plane = tuple([value >> zeros for value in patch])
    side = 1
    opposite = tuple(map(neg, plane))
    if plane not in planes and opposite in planes:
        plane, side = opposite, -1
    number = planes.setdefault(plane, len(planes))
    return number, side, zeros + bits(plane)


def bits(plane: Plane) -> int:
    """The plane is its integers divided by two to this power."""
    return max(abs(value) for value in plane).bit_length()
