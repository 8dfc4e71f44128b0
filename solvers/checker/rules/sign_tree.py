"""Depth 2, ReLU, no sharing: weak duality on the parts of a tree over all neurons' signs.

A *state* gives every neuron j a closed cone: known signs of <w_j, x_ij> (n, in {-1, 0, 1}, 0: not
known) and the signs s that v_j may have (v_j = 0 has either). Where alpha >= 0, and for every
neuron j and every s that it may have

    s sum_i alpha_i y_i max(<w, x_ij>, 0) <= 1   for ||w|| <= 1 with the known signs,        (1)

every feasible theta of the state has

    1/2 ||theta||^2 >= sum_j |v_j| ||w_j|| >= sum_j v_j sum_i alpha_i y_i max(<w_j, x_ij>, 0)
                     = sum_i alpha_i q_i >= sum_i alpha_i.

So a leaf, ``alpha`` (n) and ``earned``, proves sum alpha_i. ``earned`` has one proof of (1) (see
:mod:`.neuron_tree`) for every distinct triple of inputs seen, known signs and s, in the order in
which they are met: neurons in order, s = 1 before s = -1. Neurons without v_j need none.

``neuron-dual`` and ``sign-cells`` are one leaf. ``sign-tree`` lists a tree in preorder: [j, i]
splits the state into <w_j, x_ij> >= 0, which comes first, and <w_j, x_ij> <= 0; [j] splits it into
v_j >= 0, which comes first, and v_j <= 0; an object is a leaf. A state that differs from one met
before by a permutation of neurons that see the same inputs alone is left out: the permutation
changes neither the net's function nor its norm. (A state met before is in the list, and so are
its parts: parts know more than their state, so that nothing refers to itself.) The least sum is
the bound.

The root knows nothing on the whole space. On a ball of radius r it knows the sign of <w_j, x_ij>
where it is not 0 and <w_j, x_ij>^2 >= r^2 ||x_ij||^2, and that of v_j where v_j^2 >= r^2: weights
within r have no other.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from ..case import Case
from ..errors import require
from ..exact import vector
from ..fields import Object, integer, items
from ..network import Theta
from ..two_layer import Neuron, neurons
from .neuron_tree import Signs, View, require_earns_one, with_sign


@dataclass(frozen=True, order=True)
class Region:
    """What is known of one neuron; ``inputs`` in increasing order."""

    inputs: tuple[int, ...]
    signs: Signs
    outputs: tuple[int, ...]


State = tuple[Region, ...]


def neuron_dual(case: Case, evidence: Object) -> Fraction:
    """The bound of one leaf, on the whole space."""
    tree = _Tree.of(case)
    return tree.leaf(tree.everywhere(), evidence)


def sign_tree_global(case: Case, evidence: Object) -> Fraction:
    """The bound of a tree, on the whole space."""
    tree = _Tree.of(case)
    return tree.bound(tree.everywhere(), evidence)


def sign_cells(case: Case, center: Theta, radius: Fraction, evidence: Object) -> Fraction:
    """The bound of one leaf, on a ball."""
    tree = _Tree.of(case)
    return tree.leaf(tree.near(center, radius), evidence)


def sign_tree_local(case: Case, center: Theta, radius: Fraction, evidence: Object) -> Fraction:
    """The bound of a tree, on a ball."""
    tree = _Tree.of(case)
    return tree.bound(tree.near(center, radius), evidence)


@dataclass(frozen=True)
class _Tree:
    case: Case
    neurons: list[Neuron]
    views: dict[tuple[int, ...], View] = field(repr=False)

    @classmethod
    def of(cls, case: Case) -> "_Tree":
        """The neurons and what they see."""
        require(case.network.relu, "kind of network", "the rule is for ReLU nets")
        found = neurons(case.network)
        kinds = {tuple(sorted(neuron.inputs)) for neuron in found}
        case.work.spend(case.problem.examples * sum(map(len, kinds)))
        views = {inputs: View.of(case.problem.x.picked(inputs)) for inputs in kinds}
        return cls(case, found, views)

    def everywhere(self) -> State:
        """The state that knows nothing."""
        unknown = (0,) * self.case.problem.examples
        return tuple(
            Region(tuple(sorted(n.inputs)), unknown, () if n.output is None else (1, -1))
            for n in self.neurons
        )

    def near(self, center: Theta, radius: Fraction) -> State:
        """What holds within a radius of a point."""
        found, square = [], radius**2
        for neuron in self.neurons:
            self.case.work.spend(2 * self.case.problem.examples * (1 + len(neuron.inputs)))
            x = self.case.problem.x.picked(neuron.inputs)
            z, v = x.applied(neuron.w(center)), neuron.v(center)
            signs = tuple(
                _sign(value) if value and value**2 >= square * x.row(i).square() else 0
                for i, value in enumerate(z.fractions())
            )
            outputs = () if neuron.output is None else _outputs(v[0], square)
            found.append(Region(tuple(sorted(neuron.inputs)), signs, outputs))
        return tuple(found)

    def bound(self, root: State, evidence: Object) -> Fraction:
        """The least bound of the leaves of a tree that covers the root."""
        unmet = _Unmet([root])
        bounds: list[Fraction] = []
        for item in evidence.items("tree"):
            self.case.work.spend(len(root) * self.case.problem.examples)
            state = unmet.take()
            require(state is not None, "cover", "the tree goes on after its last leaf")
            assert state is not None
            if isinstance(item, dict):
                leaf = Object(item, f"leaf {len(bounds) + 1}")
                bounds.append(self.leaf(state, leaf))
                leaf.done()
            else:
                unmet.pending += reversed(self.split(state, item))
        require(unmet.take() is None, "cover", "the tree lacks a part")
        return min(bounds)

    def split(self, state: State, item: Any) -> list[State]:
        """The two parts of a state."""
        where = "a split of the tree"
        numbers = items(item, None, where)
        require(len(numbers) in (1, 2), "length", f"{where} has {len(numbers)} numbers")
        j = integer(numbers[0], 1, len(state), where) - 1
        region = state[j]
        if len(numbers) == 1:
            require(len(region.outputs) == 2, "split", f"the sign of output {j + 1} is known")
            parts = [Region(region.inputs, region.signs, (s,)) for s in (1, -1)]
        else:
            i = integer(numbers[1], 1, len(region.signs), where) - 1
            require(region.signs[i] == 0, "split", f"sign {i + 1} of neuron {j + 1} is known")
            signs = [with_sign(region.signs, i, s) for s in (1, -1)]
            parts = [Region(region.inputs, known, region.outputs) for known in signs]
        return [(*state[:j], part, *state[j + 1 :]) for part in parts]

    def leaf(self, state: State, leaf: Object) -> Fraction:
        """The sum of the leaf's weights, at which no neuron of the state earns more than 1."""
        problem = self.case.problem
        alpha = leaf.numbers("alpha", problem.examples, 0)
        signed = vector(a * y for a, y in zip(alpha, problem.y, strict=True))
        wanted = list(_wanted(state))
        proofs = leaf.items("earned", len(wanted))
        for (region, s, place), proof in zip(wanted, proofs, strict=True):
            where = f"{leaf.where}, neuron {place + 1}, output sign {s}"
            tree, view = items(proof, None, where), self.views[region.inputs]
            require_earns_one(self.case, view, signed.times(s), region.signs, tree, where)
        return sum(alpha, Fraction(0))


@dataclass
class _Unmet:
    """The parts still to be proved, the next one last, and states met (up to permutation)."""

    pending: list[State]
    met: set[State] = field(default_factory=set)

    def take(self) -> State | None:
        """The next state that was not met before; None if there is none."""
        while self.pending:
            state = self.pending.pop()
            sorted_state = tuple(sorted(state))
            if sorted_state not in self.met:
                self.met.add(sorted_state)
                return state
        return None


def _wanted(state: State) -> Iterator[tuple[Region, int, int]]:
    """What a leaf has to prove: distinct regions with one output sign, and the first neuron."""
    met = set()
    for j, region in enumerate(state):
        for s in region.outputs:
            key = region.inputs, region.signs, s
            if key not in met:
                met.add(key)
                yield region, s, j


def _outputs(v: Fraction, square: Fraction) -> tuple[int, ...]:
    """The signs that an output weight can have within the root of ``square`` > 0."""
    return (_sign(v),) if v**2 >= square else (1, -1)


def _sign(value: Fraction) -> int:
    return 1 if value > 0 else -1
