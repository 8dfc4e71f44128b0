"""What a bound by signs leaves behind for a checker: leaves that prove it, as binary trees.

One leaf gives weights at which no neuron earns more than 1, with a tree of signs for every
distinct triple of inputs, known signs and output sign. A tree of such leaves is walked from its
root, and states that differ by a permutation of neurons that see the same inputs are walked once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from solvers.branching import Data, Found, Leaf, Node, Region, Step, canonical
from solvers.budget import Budget
from solvers.certificate import NeuronLeaf, SignTreeLeaf, SignTreeSplit
from solvers.reformulation.neuron_bound import NeuronBound
from solvers.reformulation.neuron_tree import as_tree, tree_bound
from solvers.reformulation.two_layer import sum_below

Vector = NDArray[np.float64]
Signs = NDArray[np.int8]

Key = tuple[int, bytes, float]
"""A group, known signs (their bytes), and an output sign."""


@dataclass(frozen=True)
class NeuronState:
    """One neuron (0-based) and its group, known signs (n) and possible output signs."""

    neuron: int
    group: int
    known: Signs
    outputs: tuple[float, ...]

    def key(self, sign: float) -> Key:
        """What decides how much it earns with one output sign."""
        return self.group, self.known.tobytes(), sign


@dataclass(frozen=True)
class ProvedLeaf:
    """``value`` <= sum of ``alpha`` (n), at which no neuron earns more than 1 by ``leaves``."""

    value: float
    alpha: Vector
    leaves: tuple[NeuronLeaf, ...]


def proved_leaf(
    data: Data,
    states: Sequence[NeuronState],
    alpha: Vector,
    known: Mapping[Key, NeuronBound],
    budget: Budget,
) -> ProvedLeaf:
    """Weights in proportion to ``alpha`` (n), scaled so that no neuron earns more than 1.

    ``known`` has bounds that were proved at ``alpha``; missing ones are computed.
    """
    target = max((bound.upper for bound in known.values()), default=1.0)
    bounds: list[tuple[NeuronState, float, NeuronBound]] = []
    for state, sign in _distinct(states):
        x, c = data.seen[state.group], sign * alpha * data.y
        bound = known.get(state.key(sign))
        tree = (
            tree_bound(x, c, state.known, budget, target=target)
            if bound is None
            else as_tree(x, c, state.known, bound, budget, target=target)
        )
        bounds.append((state, sign, tree))
    most = max((bound.upper for _, _, bound in bounds), default=0.0)
    factor = most * (1.0 + 2.0**-51) if most > 0.0 else 1.0
    scaled = alpha / factor
    leaves = tuple(
        NeuronLeaf(state.neuron, sign, leaf.signs, leaf.slopes, leaf.beta)
        for state, sign, bound in bounds
        for leaf in bound.divided(factor).leaves
    )
    return ProvedLeaf(sum_below(scaled) if most > 0.0 else 0.0, scaled, leaves)


def _distinct(states: Sequence[NeuronState]) -> Iterator[tuple[NeuronState, float]]:
    """What a checker asks for, in its order: neurons in order, output sign 1 before -1."""
    met = set()
    for state in sorted(states, key=lambda s: s.neuron):
        for sign in sorted(state.outputs, reverse=True):
            if state.key(sign) not in met:
                met.add(state.key(sign))
                yield state, sign


@dataclass(frozen=True)
class ProvedTree:
    """The least ``value`` of the leaves, in preorder with the splits (see SignTreeSplit)."""

    value: float
    leaves: tuple[SignTreeLeaf, ...]
    splits: tuple[SignTreeSplit, ...]


def proved_tree(found: Found, neurons: Sequence[int], unit: float, budget: Budget) -> ProvedTree:
    """The tree of a search, in the units of the problem; ``neurons`` (0-based) is the root's."""
    walk = _Walk(found, neurons, unit, budget)
    walk.run()
    return ProvedTree(min(walk.values), tuple(walk.leaves), tuple(walk.splits))


@dataclass
class _Walk:
    """From the root down to the first states that the search proved what its bound says of."""

    found: Found
    neurons: Sequence[int]
    unit: float
    budget: Budget
    values: list[float] = field(default_factory=list)
    leaves: list[SignTreeLeaf] = field(default_factory=list)
    splits: list[SignTreeSplit] = field(default_factory=list)

    def run(self) -> None:
        """Visit every state once, the side of sign 1 first."""
        pending, met = [self.found.root], set[Node]()
        while pending:
            node = pending.pop()
            plain = canonical(tuple(_plain(region) for region in node))
            if plain in met:
                continue
            met.add(plain)
            step = self.found.steps[canonical(node)]
            if step.leaf.bound >= self.found.bound or not step.children:
                self._add_leaf(node, step.leaf)
            else:
                pending += reversed(self._add_split(node, step))

    def _add_split(self, node: Node, step: Step) -> list[Node]:
        """The parts of the node: those of the step, whose neurons may have another order."""
        place = next(
            j
            for j, regions in enumerate(zip(step.node, *step.children, strict=True))
            if len(set(regions)) > 1
        )
        region = step.node[place]
        j = node.index(region)
        parts = [child[place] for child in step.children]
        changed = [i for i, c in enumerate(region.known) if parts[0].known[i] != c]
        example = changed[0] if changed else None
        place = len(self.leaves) + len(self.splits)
        self.splits.append(SignTreeSplit(place, self.neurons[j], example))
        return [(*node[:j], part, *node[j + 1 :]) for part in parts]

    def _add_leaf(self, node: Node, leaf: Leaf) -> None:
        self.budget.check()
        states = [
            NeuronState(j, region.group, region.signs, region.outputs)
            for j, region in zip(self.neurons, node, strict=True)
        ]
        ready = {(e.region.group, e.region.signs.tobytes(), e.sign): e.bound for e in leaf.evidence}
        proved = proved_leaf(self.found.data, states, leaf.alpha, ready, self.budget)
        self.values.append(proved.value * self.unit)
        self.leaves.append(
            SignTreeLeaf(
                np.array([region.signs for region in node]),
                tuple(region.outputs for region in node),
                self.unit * proved.alpha,
                tuple(replace(part, beta=self.unit * part.beta) for part in proved.leaves),
            )
        )


def _plain(region: Region) -> Region:
    """A checker does not tell signs that hold near a point from cuts."""
    return replace(region, known=region.known.replace("p", "+").replace("m", "-"))
