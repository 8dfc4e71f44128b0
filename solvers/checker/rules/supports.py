"""Diagonal nets of depth m: a tree of boxes of the coefficients.

Hidden neuron j of every layer sees input j alone, and the output sees all of them. Linear: feature
k has the coefficient b_k, the product of coordinate k's weights. ReLU: coordinate k passes the side
of x_k that has the sign of its first weight, so it is b_k sigma(x_k) or b_(k + d) sigma(-x_k), and
one of the two coefficients is zero. With Z the rows y_i x_i (linear), or y_i sigma(x_i) followed by
y_i sigma(-x_i) (ReLU), margins of at least 1 are Z b >= 1, and by the inequality of the means

    1/2 ||theta||^2 >= (m/2) sum_k |b_k|^(2/m).

In a box lo <= b <= hi, for alpha >= 0 and c = sum_i alpha_i Z_i,

    sum_k |b_k|^(2/m) >= sum_i alpha_i + sum_k least_k,
    least_k = min { |e|^(2/m) - c_k e : e = lo_k, hi_k, and 0 where lo_k <= 0 <= hi_k },

because the summand is concave on each side of zero; of two coefficients of which one is zero, and
that may both vanish, only the lower of the two counts.

The root box is |b_k| <= reach. The tree is a list in preorder: every node either splits its box
into two that cover it (at a number, or by which coefficient of an input is zero) or carries
weights. Where an interval leaves zero out, the input's other coefficient is zero. Outside the root
box the sum is at least reach^(2/m).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from ..case import Case
from ..errors import require
from ..exact import Matrix, Vector, power_below, power_of_two, scaled
from ..fields import Object
from ..network import Network
from ..weights import Weights, read_weights

_ROOT_WORK = 1000
_DIGITS = 100

Box = tuple[tuple[int, ...], tuple[int, ...]]
"""Lower and upper ends, in units of the tree."""


@dataclass(frozen=True)
class _Node:
    """A split of a feature at a number, a split of an input's sides (no number), or weights."""

    place: int = 0
    at: Fraction | None = None
    weights: Weights | None = None


def support_tree(case: Case, evidence: Object) -> Fraction:
    """The bound of a tree of boxes."""
    rows = _features(case)
    reach = evidence.number("reach", 0)
    nodes = [_node(item, case, rows.width) for item in evidence.objects("tree")]
    ends = [reach, *(node.at for node in nodes if node.at is not None)]
    bounds = _Bounds(case, rows, *scaled(ends))
    halves = rows.width // 2 if case.network.relu else 0
    far = bounds.ends[0]
    stack: list[Box] = [((-far,) * rows.width, (far,) * rows.width)]
    inside: list[Fraction] = []
    split_points = iter(bounds.ends[1:])
    for k, node in enumerate(nodes):
        require(bool(stack), "cover", f"node {k + 1} is beyond the end of the tree")
        case.work.spend(rows.width)
        box = stack.pop()
        if node.weights is not None:
            inside.append(bounds.of(box, node.weights))
        elif node.at is None:
            stack += [_zero(box, node.place + halves), _zero(box, node.place)]
        else:
            stack += _split(box, node.place, next(split_points), halves)
    require(not stack, "cover", f"{len(stack)} parts of the tree are left out")
    return Fraction(case.network.depth, 2) * min([*inside, bounds.outside])


def _features(case: Case) -> Matrix:
    """Z."""
    require(_is_diagonal(case.network), "kind of network", "the rule is for diagonal nets")
    x = case.problem.x
    case.work.spend(2 * len(x.rows) * x.width)
    sides = [x.rows]
    if case.network.relu:
        sides = [tuple(tuple(max(s * v, 0) for v in row) for row in x.rows) for s in (1, -1)]
    rows = tuple(
        tuple(y * v for part in parts for v in part)
        for y, *parts in zip(case.problem.y, *sides, strict=True)
    )
    return Matrix(rows, x.exponent, x.width * len(sides))


def _is_diagonal(network: Network) -> bool:
    *hidden, last = network.layers
    straight = all(
        list(inputs) == [j] for layer in hidden for j, (_, inputs) in enumerate(layer.pairs)
    )
    return straight and not any(layer.shares for layer in (*hidden, last))


def _node(item: Object, case: Case, width: int) -> _Node:
    if item.has("alpha"):
        found = _Node(weights=read_weights(item, "alpha", case.problem.examples))
    elif item.has("input"):
        require(case.network.relu, "split", "a linear net has one coefficient an input")
        found = _Node(item.integer("input", 1, width // 2) - 1)
    else:
        found = _Node(item.integer("feature", 1, width) - 1, item.number("at"))
    item.done()
    return found


def _zero(box: Box, place: int) -> Box:
    """The part where one coefficient vanishes."""
    return _with(box, place, 0, 0)


def _with(box: Box, place: int, low: int, high: int) -> Box:
    lower, upper = box
    left = (*lower[:place], low, *lower[place + 1 :])
    return left, (*upper[:place], high, *upper[place + 1 :])


def _split(box: Box, place: int, at: int, halves: int) -> list[Box]:
    """The parts above and below a number (the one below comes last: it is visited first)."""
    low, high = box[0][place], box[1][place]
    require(low < at < high, "split", f"feature {place + 1} is split outside its interval")
    above, below = _with(box, place, at, high), _with(box, place, low, at)
    if halves:
        other = (place + halves) % (2 * halves)
        above = _zero(above, other) if at > 0 else above
        below = _zero(below, other) if at < 0 else below
    return [above, below]


class _Bounds:
    """Bounds of boxes whose ends are integers times 2**exponent.

    Powers are rounded down to multiples of a unit 2**-100 times that of the reach.
    """

    def __init__(self, case: Case, rows: Matrix, ends: Sequence[int], exponent: int) -> None:
        self.case, self.rows, self.ends, self.exponent = case, rows, ends, exponent
        self.outside = self._power(ends[0])
        ratio = self.outside or Fraction(1)
        size = ratio.numerator.bit_length() - ratio.denominator.bit_length()
        self.unit = size - _DIGITS
        self.powers: dict[int, int] = {}

    def _power(self, end: int) -> Fraction:
        self.case.work.spend(_ROOT_WORK)
        return power_below(power_of_two(self.exponent) * abs(end), 2, self.case.network.depth)

    def power(self, end: int) -> int:
        """|end|^(2/m) in units, rounded down."""
        if abs(end) not in self.powers:
            grown = self._power(end) * power_of_two(-self.unit)
            self.powers[abs(end)] = grown.numerator // grown.denominator
        return self.powers[abs(end)]

    def of(self, box: Box, weights: Weights) -> Fraction:
        """The bound of the module's docstring."""
        self.case.work.spend(self.rows.width * (len(weights.examples) + 4))
        slopes = weights.combined(self.rows)
        fine = slopes.exponent + self.exponent
        low = min(fine, self.unit)
        least = self._least(box, slopes, self.unit - low, fine - low)
        if self.case.network.relu:
            least = _one_of_each_pair(least, box)
        return weights.total + power_of_two(low) * sum(least)

    def _least(self, box: Box, slopes: Vector, power_shift: int, slope_shift: int) -> list[int]:
        found = []
        for low, high, slope in zip(*box, slopes.integers, strict=True):
            values = [
                (self.power(end) << power_shift) - (slope * end << slope_shift)
                for end in (low, high)
            ]
            found.append(min(values + [0] * (low <= 0 <= high)))
        return found


def _one_of_each_pair(least: Sequence[int], box: Box) -> list[int]:
    half = len(least) // 2
    vanish = [low <= 0 <= high for low, high in zip(*box, strict=True)]
    return [
        min(least[k], least[k + half])
        if vanish[k] and vanish[k + half]
        else least[k] + least[k + half]
        for k in range(half)
    ]
