"""What was claimed, and the numbers that prove it: one typed record per claim.

An exact checker needs nothing but these records and the problem. Claim names are those of the
HTTP contract. Vectors are in internal units (see :mod:`solvers.problem`); each double is a
rational number, and a claim is about exactly that number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class SubgradientColumn:
    """One vertex of example ``example``'s subdifferential with its weight.

    ``slopes`` lists (layer, neuron, slope) of the kinks of that example, 0-based; every kink that
    is not listed has slope 0. The multiplier of an example is the sum of its columns' weights.
    ``direction`` (p) is one along which these slopes are attained, where the kinks of a layer may
    depend on each other.
    """

    example: int
    weight: float
    slopes: tuple[tuple[int, int, float], ...]
    direction: Vector | None = None


@dataclass(frozen=True)
class Feasible:
    """feasible: every margin of ``theta`` is at least 1, exactly."""

    theta: Vector


@dataclass(frozen=True)
class Infeasible:
    """infeasible: the listed examples (0-based) have margins <= 0 (level 0) or < 1 (level 1)."""

    theta: Vector
    examples: tuple[int, ...]
    level: int


@dataclass(frozen=True)
class Kkt:
    """kkt: ``||theta - sum w_c h_c|| <= eps ||theta||``, ``sum w_c (q - 1) <= delta ||theta||^2``.

    Slopes are free where ``|z| <= kink ||w_j|| ||input||``.
    """

    theta: Vector
    eps: float
    delta: float
    kink: float
    columns: tuple[SubgradientColumn, ...]


@dataclass(frozen=True)
class NotKkt:
    """not_kkt: a direction d and a price t that no choice of multipliers explains.

    ``<h, d> >= -t (q_i - 1)`` for every example and every outer subgradient h, and
    ``<theta, d> < -(eps ||theta|| ||d|| + t delta ||theta||^2)``.
    """

    theta: Vector
    eps: float
    delta: float
    kink: float
    direction: Vector
    price: float


@dataclass(frozen=True)
class NeuronLeaf:
    """A leaf of the sign tree of one hidden neuron (0-based) at one output sign.

    The leaves of a neuron and output sign that follow each other are those of a binary tree.
    ``signs`` (n, in {-1, 0, 1}) are those of <w, x_i> on the leaf; ``slopes`` (n) in [0, 1]
    replaces the ReLU on open examples with negative coefficient; ``beta`` (n) >= 0 multiplies the
    leaf's signs.
    """

    neuron: int
    output_sign: float
    signs: NDArray[np.int8]
    slopes: Vector
    beta: Vector


@dataclass(frozen=True)
class SignTreeLeaf:
    """A leaf of a tree over the signs and output signs of all neurons.

    ``signs`` (k x n, in {-1, 0, 1}) and ``outputs`` (the possible output signs of each neuron) say
    which part it covers, up to a permutation of neurons that see the same inputs. No neuron earns
    more than 1 at ``alpha`` (n), which ``leaves`` prove, in the order of the neurons, output sign
    1 first; of neurons with equal signs and inputs the first one's serve all.
    """

    signs: NDArray[np.int8]
    outputs: tuple[tuple[float, ...], ...]
    alpha: Vector
    leaves: tuple[NeuronLeaf, ...]


@dataclass(frozen=True)
class SignTreeSplit:
    """A part of such a tree is split by <w_j, x_i> of ``neuron`` j (0-based) and ``example`` i.

    None for the example: by v_j. The tree is in preorder, the side of sign 1 first; the split is
    its entry ``place`` (from 0), and the leaves are the other entries in their order. A part that
    is a permutation (of neurons that see the same inputs) of an earlier one is left out.
    """

    place: int
    neuron: int
    example: int | None


@dataclass(frozen=True)
class CoefficientBox:
    """A box ``lower`` <= b <= ``upper`` of a diagonal net's coefficients, with weights (n).

    Feature k is y_i x_ik (linear), or y_i sigma(x_ik) and, d places later, y_i sigma(-x_ik)
    (ReLU; one of the two is zero). With c = sum alpha_i z_i, every b of the box has
    sum |b_k|^(2/m) >= sum alpha_i + sum_k min { |e|^(2/m) - c_k e : e an end of the interval, or 0
    where it holds 0 }, of a pair that may both vanish only the lower of the two. The boxes cover
    the first |b_k| <= B; outside, the sum is at least B^(2/m).
    """

    lower: Vector
    upper: Vector
    alpha: Vector


@dataclass(frozen=True)
class FilterBlock:
    """What a leaf says about one filter of a depth-2 net with shared weights.

    ``weights`` (a) and ``outputs`` (b) are the places in theta of the filter's w and v.
    ``planes`` (k x a): the filter's distinct patches up to sign and a power of two. ``signs`` (k,
    in {-1, 0, 1}) are those of <plane, w> on the leaf (0: open, or a linear net), ``cuts``
    (c x (a + b)) have <cut, (w, v)> >= 0 on it. With e_k = max(<plane_k, w>, 0) for the open ones,
    these forms of u = (w, v, e) are not negative, in this order: sign x <plane, w> of the known
    planes; e_k and e_k - <plane_k, w>, plane by plane; the cuts. ``pairs`` (p) >= 0 multiplies the
    products of two of them, whose numbers are in ``products`` (p x 2); ``equations`` (o) has any
    sign and multiplies e_k (e_k - <plane_k, w>) = 0. Filters of one ``kind`` are the same but for
    their place.
    """

    weights: NDArray[np.int64]
    outputs: NDArray[np.int64]
    planes: NDArray[np.float64]
    signs: tuple[int, ...]
    cuts: NDArray[np.float64]
    products: NDArray[np.int64]
    pairs: Vector
    equations: Vector
    kind: int = 0
    deficit: float = 0.0


@dataclass(frozen=True)
class FilterSplit:
    """A node of the tree over filters: the region of ``filter`` (0-based) is split in two.

    By the sign of ``plane`` (0-based) into + and -, or into ``cut`` (a + b) >= 0 and <= 0 (in a
    linear net the first cut of a filter has one part: the other is its mirror image).
    """

    filter: int
    plane: int | None = None
    cut: Vector | None = None


@dataclass(frozen=True)
class FilterLeaf:
    """A part of parameter space by one region for each filter, with its weights (n).

    1/2 ||(w, v)||^2 - sum alpha_i q_i - (pairs x products) - (equations x zeros) is a quadratic
    form in u for every filter; where its least eigenvalue is at least -d (d >= 0 is the block's
    ``deficit``), every point of the part has
    f (1 + 2 d (1 + sum of squares of the open planes)) >= sum alpha_i. Parts count up to a
    permutation of equal filters and, in linear nets, up to (w, v) -> -(w, v).
    """

    alpha: Vector
    blocks: tuple[FilterBlock, ...]


@dataclass(frozen=True)
class GlobalLowerBound:
    """global_lower_bound: every feasible point has objective >= ``value``.

    ``rule`` names the inequality (documented at the method that makes it); ``alpha`` are its
    non-negative weights on the examples.
    """

    value: float
    rule: str
    alpha: Vector
    leaves: tuple[NeuronLeaf, ...] = ()
    tree: tuple[SignTreeLeaf, ...] = ()
    splits: tuple[SignTreeSplit, ...] = ()
    boxes: tuple[CoefficientBox, ...] = ()
    filters: tuple[FilterLeaf, ...] = ()
    filter_splits: tuple[FilterSplit | None, ...] = ()
    """The tree over filters in preorder; None stands for the next of ``filters``."""
    earned: tuple[float, ...] = ()
    """What the neuron of each run of ``leaves`` (weighted margin) earns at most."""


@dataclass(frozen=True)
class CellBound:
    """The curvature bound on one cell: signs of the open pre-activations, and multipliers.

    ``constraints`` (k) numbers those with ``weights`` > 0 and ``sigma``: the margins of the n
    examples first, then the signs of the open places. ``pairs`` lists (a, b, N_ab) of two
    constraints; ``rotation`` >= 0 multiplies the squares of the rotations' tangents.
    """

    signs: tuple[float, ...]
    constraints: NDArray[np.int64]
    weights: Vector
    sigma: Vector
    pairs: tuple[tuple[int, int, float], ...] = ()
    rotation: float = 0.0


@dataclass(frozen=True)
class LocalLowerBound:
    """local_lower_bound: every feasible point within ``radius`` has objective >= ``value``.

    Where the bound was proved about a snapped point, ``center`` is that point and
    ``center_radius`` its ball, which contains the ball about ``theta``. ``places`` are the (layer,
    example, neuron) whose signs are open in ``cells``; ``empty`` lists sets of (place's number,
    sign) that no parameters have, reversed neither.
    """

    theta: Vector
    radius: float
    value: float
    rule: str
    alpha: Vector
    center: Vector | None = None
    center_radius: float | None = None
    leaves: tuple[NeuronLeaf, ...] = ()
    cells: tuple[CellBound, ...] = ()
    places: tuple[tuple[int, int, int], ...] = ()
    empty: tuple[tuple[tuple[int, int], ...], ...] = ()
    tree: tuple[SignTreeLeaf, ...] = ()
    splits: tuple[SignTreeSplit, ...] = ()


@dataclass(frozen=True)
class BetterPoint:
    """better_point: ``better`` is feasible with objective at most ``value``."""

    theta: Vector
    better: Vector
    value: float


@dataclass(frozen=True)
class DescentWitness:
    """descent_witness: each point is feasible and lower, at distances falling to the resolution.

    ``layer`` (0-based) where only that layer moves (Problem 3). Where the question was asked at a
    snapped point, ``center`` is that point, with the ``columns`` of its multipliers.
    """

    theta: Vector
    points: tuple[Vector, ...]
    layer: int | None = None
    center: Vector | None = None
    columns: tuple[SubgradientColumn, ...] = ()


@dataclass(frozen=True)
class LayerLowerBound:
    """layer_lower_bound: Problem 3 of ``layer`` has value >= ``value`` (within ``radius``)."""

    theta: Vector
    layer: int
    value: float
    radius: float | None
    alpha: Vector


@dataclass(frozen=True)
class LayerLeaf:
    """A part of one layer's parameter space by known signs, with its bound's multipliers.

    ``signs`` (n x k, in {-1, 0, 1}, one array for each hidden layer from this one) are those of
    the pre-activations; 0 is open or never changes. Row r is a relaxed margin of example
    ``examples[r]`` with weight ``weights[r]`` >= 0: an open term with positive coefficient is
    replaced by (z + ||gradient|| ``norm``) / 2, one with negative coefficient by ``slopes[r]``
    (k) times z. ``beta`` >= 0 multiplies the gradients of the signed pre-activations. With h_r the
    rows' right sides (1 less the constants), the leaf has 1/2 ||u||^2 >= (sum w_r h_r)^2 /
    (2 ||sum w_r row_r + sum beta gradient||^2) for every u of norm at most ``norm``.
    """

    signs: tuple[NDArray[np.int8], ...]
    examples: NDArray[np.int64]
    weights: Vector
    slopes: NDArray[np.float64]
    beta: tuple[NDArray[np.float64], ...]
    norm: float


@dataclass(frozen=True)
class LayerDeepLeaf:
    """A part of one layer's parameter space by known signs of that layer and those above it.

    One array (n x k) a hidden layer, from the moving one on, for everything but ``weights`` w (n)
    >= 0. Let z be the pre-activations at u, with z >= 0 where ``signs`` is 1 and z <= 0 where it is
    -1. For r = ||u||, r ``lower`` <= z <= r ``upper``: in the moving layer |z| <= ||dz/du|| r; in a
    later one by interval arithmetic from the boxes of the layer below, or by pulling z (and -z)
    down to u (see below) with t = 1 where upper > -lower, else 0, and beta = 0; and by the signs.
    Where some lower > upper the part is empty.

    Pulling a combination of the z of one layer down: through the weights it is a combination of
    a = max(z, 0) of the layer below, with coefficients c. There a = 0 where upper <= 0, else a = z
    where lower >= 0; else c a <= c upper (z - r lower) / (upper - lower) for c > 0, and
    c a <= c t z for c < 0, t = ``slopes`` in [0, 1]. Add ``beta`` >= 0 times the sign to the
    coefficients of z, and go on; in the moving layer z is linear in u. So
    sum w_i q_i(u) <= <g, u> + const r, and every feasible u of the part has
    ||u|| >= sum w / (||g|| + const) (there is none if that is a positive number by zero).
    """

    signs: tuple[NDArray[np.int8], ...]
    weights: Vector
    slopes: tuple[NDArray[np.float64], ...]
    beta: tuple[NDArray[np.float64], ...]
    lower: tuple[NDArray[np.float64], ...]
    upper: tuple[NDArray[np.float64], ...]


@dataclass(frozen=True)
class LayerBlockLeaf:
    """A leaf of the sign tree of the parameters that some neurons of one layer share.

    One entry for each open pre-activation (``neurons``, ``examples``); ``signs``, ``slopes`` and
    ``beta`` as in :class:`NeuronLeaf`, the last two entries standing for the linear part b as
    sigma(<b, w>) - sigma(-<b, w>).
    """

    neurons: NDArray[np.int64]
    examples: NDArray[np.int64]
    signs: NDArray[np.int8]
    slopes: Vector
    beta: Vector


@dataclass(frozen=True)
class LayerCellsBound:
    """layer_cells_bound: Problem 3 of ``layer`` has value >= ``value`` (within ``radius``).

    Either the ``leaves`` cover every sign pattern that the layer can have there, or ``alpha``
    serves all of them and the ``blocks`` prove what each block of parameters earns, or the leaves
    ``deep`` cover every sign pattern that this layer and those above can have.
    """

    theta: Vector
    layer: int
    value: float
    radius: float | None
    leaves: tuple[LayerLeaf, ...] = ()
    alpha: Vector | None = None
    blocks: tuple[LayerBlockLeaf, ...] = ()
    deep: tuple[LayerDeepLeaf, ...] = ()


@dataclass(frozen=True)
class LayerBetterPoint:
    """layer_better_point: ``better`` differs from ``theta`` in ``layer`` only, feasible, lower."""

    theta: Vector
    layer: int
    better: Vector
    value: float


@dataclass(frozen=True)
class PredictorLowerBound:
    """predictor_lower_bound: every separator has ``norm`` (exponent ``p``) >= ``value``."""

    norm: str
    p: float
    value: float
    alpha: Vector


@dataclass(frozen=True)
class PredictorBetterPoint:
    """predictor_better_point: ``better`` has margins of at least 1 and norm at most ``value``."""

    norm: str
    p: float
    better: Vector
    value: float


@dataclass(frozen=True)
class PredictorLocalBound:
    """predictor_local_bound: separators within ``radius`` (max norm) have norm >= ``value``.

    The ball is about the point's predictor at least margin 1. ``weights`` of the ``examples``, and
    ``inverse`` (a left inverse, up to rounding, of their rows on the support of ``center``) prove
    it as :mod:`solvers.predictor.quasinorm` says.
    """

    norm: str
    p: float
    value: float
    radius: float
    center: Vector
    examples: NDArray[np.int64]
    weights: Vector
    inverse: NDArray[np.float64]


@dataclass(frozen=True)
class PredictorDescentWitness:
    """predictor_descent_witness: better separators at distances falling to the resolution."""

    norm: str
    p: float
    points: tuple[Vector, ...]


Claim = (
    Feasible
    | Infeasible
    | Kkt
    | NotKkt
    | GlobalLowerBound
    | LocalLowerBound
    | BetterPoint
    | DescentWitness
    | LayerLowerBound
    | LayerCellsBound
    | LayerBetterPoint
    | PredictorLowerBound
    | PredictorBetterPoint
    | PredictorLocalBound
    | PredictorDescentWitness
)
