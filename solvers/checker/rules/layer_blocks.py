"""The hidden ReLU layer below the last: one alpha for all signs, and blocks of parameters.

Margins are sums of terms c sigma(<g, u>), c = alpha_i y_i v_j and g the gradient of pre-activation
(i, j) in the layer's parameters u. In a ball, terms whose sign is fixed there (:mod:`..moving`) and
that no leaf names are 0 or linear: they add up to <b, u>. Neurons that use a common parameter are
in one block B. If for all B

    <b, w> + sum c sigma(<g, w>) <= N_B   for all w on the parameters of B with ||w|| <= 1,

then sum alpha_i <= sum alpha_i q_i(u) <= sum_B N_B ||u_B|| <= (sum_B N_B^2)^(1/2) ||u||.

N_B = ||b|| where no term is open. Else it is the largest bound of the block's leaves, which know
some signs of <g, w> or of <b, w> and cover every choice of them (:mod:`..sign_cover`): a term is
c z where z >= 0 is known, 0 where z <= 0 is; else at most c (z + ||g||) / 2 for c > 0 and c t z for
c < 0, any t in [0, 1]. With beta >= 0 times the known signs added, the leaf's bound is the norm of
the vector in <vector, w> plus the constants.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..case import Case
from ..errors import require
from ..exact import Vector, power_of_two, root_above, vector
from ..fields import Object, integer, items, number
from ..layer_boxes import COST
from ..moving import Moving
from ..sign_cover import cover

Term = tuple[int, int]
"""Example and neuron; LINEAR stands for <b, .>."""
LINEAR: Term = (-1, -1)


@dataclass(frozen=True)
class _Leaf:
    known: dict[Term, int]
    beta: dict[Term, Fraction]
    slopes: dict[Term, Fraction]


def layer_blocks(case: Case, layer: int, radius: Fraction | None, evidence: Object) -> Fraction:
    """The bound on 1/2 ||u||^2 of the weights ``alpha`` (n) and the blocks' ``leaves``."""
    below_last = case.network.relu and layer == case.network.depth - 2
    require(below_last, "kind of network", "the rule is for the ReLU layer below the last")
    moving = Moving(case, layer)
    alpha = evidence.numbers("alpha", case.problem.examples, 0)
    block_of = _blocks(moving)
    leaves: dict[int, list[_Leaf]] = {}
    for raw in evidence.objects("leaves"):
        block = block_of[raw.integer("neuron", 1, moving.layer.outputs) - 1]
        leaves.setdefault(block, []).append(_read(moving, raw, block, block_of))
    outgoing = moving.frozen[0][0].adjoint(moving.frozen[0][1], Vector((1,), 0))
    fixed = moving.unknown() if radius is None else moving.fixed(radius)
    signs = [own[0] for own in fixed]
    total = Fraction(0)
    for block in sorted(set(block_of)):
        neurons = [j for j, b in enumerate(block_of) if b == block]
        earned = _Block(moving, alpha, outgoing, signs, neurons, leaves.get(block, []))
        total += earned.square()
    require(total > 0, "weights", "the weighted margins have no gradient")
    return sum(alpha, Fraction(0)) ** 2 / (2 * total)


def _blocks(moving: Moving) -> list[int]:
    """For every neuron the first neuron of its block."""
    label = list(range(moving.layer.outputs))
    first: dict[int, int] = {}
    for j, (parameters, _) in enumerate(moving.layer.pairs):
        for k in parameters:
            one, other = label[first.setdefault(k, j)], label[j]
            if one != other:
                label = [min(one, other) if b in (one, other) else b for b in label]
    return label


def _read(moving: Moving, raw: Object, block: int, block_of: Sequence[int]) -> _Leaf:
    found = _Leaf({}, {}, {})
    for entry in raw.items("known"):
        example, neuron, sign, weight = items(entry, 4, raw.where)
        term = _term(moving, example, neuron, block, block_of, raw.where)
        _add_known(found, term, sign, weight, raw.where)
    if raw.has("linear"):
        sign, weight = raw.items("linear", 2)
        _add_known(found, LINEAR, sign, weight, raw.where)
    for entry in raw.items("slopes"):
        example, neuron, slope = items(entry, 3, raw.where)
        term = _term(moving, example, neuron, block, block_of, raw.where)
        require(term not in found.slopes, "place", f"{raw.where} has a slope twice")
        found.slopes[term] = number(slope, raw.where, 0)
        require(found.slopes[term] <= 1, "slope", f"{raw.where} has a slope above 1")
    raw.done()
    return found


def _add_known(leaf: _Leaf, term: Term, sign: object, weight: object, where: str) -> None:
    require(term not in leaf.known, "place", f"{where} knows a sign twice")
    leaf.known[term] = integer(sign, -1, 1, where)
    require(leaf.known[term] != 0, "known sign", f"{where} has a sign 0")
    leaf.beta[term] = number(weight, where, 0)


def _term(
    moving: Moving, example: object, neuron: object, block: int, block_of: Sequence[int], where: str
) -> Term:
    i = integer(example, 1, moving.case.problem.examples, where) - 1
    j = integer(neuron, 1, moving.layer.outputs, where) - 1
    require(block_of[j] == block, "block", f"{where} names a neuron of another block")
    return i, j


class _Block:
    """One block: its linear part b, its open terms with their coefficients, its leaves."""

    def __init__(
        self,
        moving: Moving,
        alpha: Sequence[Fraction],
        outgoing: Vector,
        signs: Sequence[Sequence[int]],
        neurons: Sequence[int],
        leaves: Sequence[_Leaf],
    ) -> None:
        self.moving, self.leaves = moving, leaves
        named = {term for leaf in leaves for term in (*leaf.known, *leaf.slopes)}
        fixed: dict[Term, Fraction] = {}
        self.open: dict[Term, Fraction] = {}
        for i, weight in enumerate(alpha):
            for j in neurons:
                coefficient = weight * moving.case.problem.y[i] * outgoing[j]
                if signs[i][j] == 0 or (i, j) in named:
                    self.open[i, j] = coefficient
                elif signs[i][j] > 0:
                    fixed[i, j] = coefficient
        self.linear = self._combined(fixed)

    def square(self) -> Fraction:
        """N_B^2, rounded up."""
        weighty = any(c and any(self._slope(term).values()) for term, c in self.open.items())
        if not weighty and not self.leaves:
            return _square(self.linear)
        covered = cover([leaf.known for leaf in self.leaves], self.moving.case.work)
        require(covered, "cover", "the leaves of a block leave out a choice of signs")
        return max(self._earned(leaf) for leaf in self.leaves) ** 2

    def _earned(self, leaf: _Leaf) -> Fraction:
        """The leaf's bound, rounded up."""
        constant = Fraction(0)
        factors: dict[Term, Fraction] = {}
        for term, c in self.open.items():
            sign = leaf.known.get(term, 0)
            if sign:
                factors[term] = (c if sign > 0 else 0) + sign * leaf.beta[term]
            elif c > 0:
                factors[term] = c / 2
                constant += c / 2 * self.moving.lengths[term[0]][term[1]]
            else:
                factors[term] = leaf.slopes.get(term, Fraction(0)) * c
        total = self._combined(factors)
        share = 1 + leaf.known.get(LINEAR, 0) * leaf.beta.get(LINEAR, Fraction(0))
        for k, value in self.linear.items():
            total[k] = total.get(k, Fraction(0)) + share * value
        return root_above(_square(total)) + constant

    def _slope(self, term: Term) -> dict[int, int]:
        return self.moving.slopes[term[0]][term[1]]

    def _combined(self, factors: dict[Term, Fraction]) -> dict[int, Fraction]:
        """The sum of factor times gradient, by parameter."""
        whole: dict[int, int] = {}
        self.moving.case.work.spend(COST * sum(len(self._slope(term)) for term in factors))
        own = vector(factors.values())
        low = min((self.moving.seen(i).exponent for i, _ in factors), default=0)
        for (i, j), factor in zip(factors, own.integers, strict=True):
            lifted = factor << (self.moving.seen(i).exponent - low)
            for k, value in self._slope((i, j)).items():
                whole[k] = whole.get(k, 0) + lifted * value
        unit = power_of_two(own.exponent + low)
        return {k: unit * value for k, value in whole.items()}


def _square(values: dict[int, Fraction]) -> Fraction:
    return vector(values.values()).square()
