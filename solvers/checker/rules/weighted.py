"""Every net: the weighted margin against the product of the layers' norms.

If sum_i alpha_i q_i <= K prod_l ||u_l|| for all parameters u, alpha >= 0, then with the inequality
of the means every feasible point has

    1/2 ||theta||^2 >= (m/2) (prod_l ||u_l||)^(2/m) >= (m/2) (sum_i alpha_i / K)^(2/m).

kappa_l^2 is the most that the numbers of places (k, i) add up to, over the neurons of layer l that
see input i: how often one of them uses parameter k; 1 without sharing. ||W_l(u) a|| <= kappa_l
||u|| ||a||, since (W_l(u) a)_j^2 <= (sum of u_k^2 over j's weights) (sum of a_i^2 over j's inputs).

K^2 is the product of kappa_l^2 over all layers but the first, and of one of these factors:

* Linear nets: sum alpha_i q_i = Phi(theta; a), a = sum alpha_i y_i x_i. ReLU nets where alpha is on
  one example, or equal on two of opposite labels: sigma is nonexpansive, so with the same a the
  weighted margin is at most what a linear net could make of a. The factor bounds ||W_1(u) a||^2 at
  ||u|| = 1: without sharing the largest sum of a_i^2 over the inputs of a neuron; else the number
  ``first``, proved by singular values of the matrix whose entry (j, k) is the sum of a_i over the
  places of parameter k in neuron j; or kappa_1^2 ||a||^2.
* ReLU nets with ``neurons``: for all neurons that see the same inputs and for both signs s, with
  c_i = s alpha_i y_i (depth 2), or c_i = alpha_i on the examples with label s and 0 on the others
  (deeper), a tree of signs proves scale x sum_i c_i sigma(<w, x_i>) <= ||w||, and
  e_(s,j) = 1 / scale (no tree, and 0, where no c_i is positive). With E_s the largest, over
  parameters k, of the sum over neurons of (uses of k) e_(s,j)^2, the factor is E for
  e_j = max_s e_(s,j) (depth 2: output weights of sign s earn at most |v_j| e_(s,j) ||w_j||).
  Deeper it is max_s E_s if the last hidden layer W does not share weights, else the sum over s:
  output weights of sign s earn at most ||v|| ||W_s A_s||, A_s the sum of alpha_i times W's inputs
  over the examples of label s, as the other label only costs; and ||A_s||^2 is at most
  E_s ||u_1||^2 times kappa_l^2 ||u_l||^2 of the layers between, as sigma(W a) <= max(W, 0) a for
  a >= 0. (||W_+||^2 + ||W_-||^2 <= ||u||^2 without sharing.)
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction

from ..case import Case
from ..errors import require
from ..exact import Matrix, Vector, power_below
from ..fields import Object
from ..layers import Layer
from ..singular import squares_at_most
from ..weights import Weights, read_weights
from ..work import Work
from .neuron_tree import View, require_earns_one


def weighted_margin(case: Case, evidence: Object) -> Fraction:
    """The bound of the weights ``alpha``."""
    network = case.network
    weights = read_weights(evidence, "alpha", case.problem.examples)
    by_neurons = network.relu and evidence.has("neurons")
    square = (_by_neurons if by_neurons else _by_inputs)(case, weights, evidence)
    for layer in network.layers[1:]:
        square *= spread_square(layer, case.work)
    require(square > 0, "weights", "the weighted margin is zero for all parameters")
    ratio = weights.total**2 / square
    return Fraction(network.depth, 2) * power_below(ratio, 1, network.depth)


def spread_square(layer: Layer, work: Work) -> int:
    """kappa^2."""
    if not layer.shares:
        return 1
    work.spend(sum(len(inputs) ** 2 for _, inputs in layer.pairs))
    counts: dict[tuple[int, int], int] = {}
    for parameters, inputs in layer.pairs:
        for i in inputs:
            for k in parameters:
                counts[k, i] = counts.get((k, i), 0) + 1
    return max(counts.values())


def _by_inputs(case: Case, weights: Weights, evidence: Object) -> Fraction:
    """The bound on ||W_1(u) a||^2."""
    problem, layer = case.problem, case.network.layers[0]
    case.work.spend(len(weights.examples) * problem.x.width + layer.terms)
    labels = [problem.y[i] for i in weights.examples]
    pair = len(labels) == 2 and sum(labels) == 0 and len(set(weights.integers)) == 1
    fits = not case.network.relu or len(labels) == 1 or pair
    require(fits, "weights", "a ReLU net takes one example, or two of opposite labels alike")
    signed = [y * a for y, a in zip(labels, weights.integers, strict=True)]
    a = Weights(weights.examples, tuple(signed), weights.exponent).combined(problem.x)
    if not layer.shares:
        seen = [sum(a.integers[i] ** 2 for i in inputs) for _, inputs in layer.pairs]
        return Vector((max(seen),), 2 * a.exponent)[0]
    if not evidence.has("first"):
        return spread_square(layer, case.work) * a.square()
    first = evidence.number("first", 0)
    holds = squares_at_most(_matrix(layer, a), a.exponent, first, case.work)
    require(holds, "positive semidefinite", "the first layer is not proved to be that small")
    return first


def _matrix(layer: Layer, a: Vector) -> list[dict[int, int]]:
    """The matrix of u -> W(u) a."""
    rows: list[dict[int, int]] = []
    for parameters, inputs in layer.pairs:
        row: dict[int, int] = {}
        for k, i in zip(parameters, inputs, strict=True):
            row[k] = row.get(k, 0) + a.integers[i]
        rows.append(row)
    return rows


def _by_neurons(case: Case, weights: Weights, evidence: Object) -> Fraction:
    """The factor from what single neurons earn."""
    layers = case.network.layers
    sides = list(_sides(case, weights))
    earned = _earned(case, sides, evidence.objects("neurons"))
    if len(layers) == 2:
        return _largest(layers[0], [max(pair) for pair in zip(*earned, strict=True)])
    totals = [_largest(layers[0], squares) for squares in earned]
    return sum(totals, Fraction(0)) if layers[-2].shares else max(totals)


def _sides(case: Case, weights: Weights) -> Iterator[Vector]:
    """The coefficients c of both signs."""
    shallow = case.network.depth == 2
    for side in (1, -1):
        c = [0] * case.problem.examples
        for i, weight in zip(weights.examples, weights.integers, strict=True):
            sign = side * case.problem.y[i]
            c[i] = weight * (sign if shallow else int(sign > 0))
        yield Vector(tuple(c), weights.exponent)


def _earned(case: Case, sides: Sequence[Vector], proofs: Sequence[Object]) -> list[list[Fraction]]:
    """e_(s,j)^2: for each sign, for each neuron of the first layer."""
    layer, left = case.network.layers[0], list(proofs)[::-1]
    groups: dict[tuple[int, ...], list[int]] = {}
    for j, (_, inputs) in enumerate(layer.pairs):
        groups.setdefault(tuple(sorted(inputs)), []).append(j)
    earned = [[Fraction(0)] * layer.outputs for _ in sides]
    for inputs, neurons in groups.items():
        case.work.spend(4 * case.problem.examples * len(inputs))
        x = case.problem.x.picked(inputs)
        for squares, c in zip(earned, sides, strict=True):
            if inputs and max(c.integers) > 0:
                require(bool(left), "neurons", "a kind of neuron is left out")
                square = _proved(case, x, c, left.pop())
                for j in neurons:
                    squares[j] = square
    require(not left, "neurons", "there are more proofs than kinds of neurons")
    return earned


def _proved(case: Case, x: Matrix, c: Vector, proof: Object) -> Fraction:
    scale = proof.number("scale", 0)
    require(scale > 0, "scale", "it is zero")
    tree = proof.items("tree")
    proof.done()
    unknown = (0,) * case.problem.examples
    require_earns_one(case, View.of(x), c.times(scale), unknown, tree, proof.where)
    return 1 / scale**2


def _largest(layer: Layer, squares: Sequence[Fraction]) -> Fraction:
    """The most that neurons' squares add up to, over the parameters that they use."""
    totals = [Fraction(0)] * layer.size
    for (parameters, _), square in zip(layer.pairs, squares, strict=True):
        for k in parameters:
            totals[k] += square
    return max(totals)
