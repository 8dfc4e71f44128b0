"""The curvature bound on one cell of a ball of radius r about theta.

Every constraint of the cell is g_i(theta + d) = c_i + J_i d + 1/2 d'Q_i d + R_i >= 0 with
|R_i| <= K_i ||d||^3 (:mod:`.polynomials`). With weights lambda_i >= 0, H = I - sum lambda_i Q_i,
rho = theta - sum lambda_i J_i, e_i = ||Q_i||/2 + K_i r, T_i = ||J_i|| r + |c_i| + e_i r^2, any
0 <= sigma_i <= lambda_i / T_i, any N_ab >= 0 for pairs of constraints (L_a = ||J_a||) and tau >= 0:
if every eigenvalue of

    H + sum sigma_i J_i J_i' - sum_ab N_ab (J_a J_b' + J_b J_a') + tau sum S S'

is at least twice

    r sum lambda_i K_i + 2 r^2 sum sigma_i e_i^2 + r sum_ab N_ab (e_a L_b + e_b L_a),

then every feasible point of the cell within r has an objective of at least f(theta) less

    ||rho|| r + sum lambda_i max(c_i, 0) + 2 sum sigma_i c_i^2
              + r sum_ab N_ab (|c_a| L_b + |c_b| L_a).

f is quadratic; put J_i d = t_i - c_i - 1/2 d'Q_i d - R_i with 0 <= t_i = g_i(theta + d) <= T_i, and
use lambda_i t_i >= sigma_i t_i^2 >= sigma_i/2 (J_i d)^2 - sigma_i (c_i + 1/2 d'Q_i d + R_i)^2; the
last square is at most 2 c_i^2 + 2 e_i^2 ||d||^4. Pairs: J_a d >= -b_a with
b_a = |c_a| + e_a ||d||^2, and |J_a d| <= L_a ||d||; where J_a d and J_b d have different signs, the
negative one is that small, so their product is always at least -(b_a L_b + b_b L_a) ||d||. The
vectors S are the tangents of rotations that keep the constraints used here, whose products with d
may be taken as zero (:mod:`.rotations`).
"""

from dataclasses import dataclass, field
from fractions import Fraction

from ..definite import is_at_least
from ..errors import require
from ..exact import Vector, root_above
from ..fields import Object, integer, items, number
from .ball import Cell, Held
from .matrix import lower_triangle
from .polynomials import Constraint, Polynomial


@dataclass
class _Proof:
    """Sums over the evidence of one cell; ``needed`` and ``slack`` as in the docstring."""

    cell: Cell
    where: str
    residual: Vector
    needed: Fraction = Fraction(0)
    slack: Fraction = Fraction(0)
    curved: list[tuple[Fraction, Polynomial]] = field(default_factory=list)
    squares: list[tuple[Fraction, Vector]] = field(default_factory=list)
    used: set[Constraint] = field(default_factory=set)

    def _held(self, raw: object) -> Held:
        held = self.cell.held(integer(raw, 1, self.cell.count, self.where) - 1)
        self.used.add(held.constraint)
        return held

    def weigh(self, entry: object) -> None:
        """Read [constraint, lambda, sigma]."""
        index, first, second = items(entry, 3, self.where)
        weight, sigma = number(first, self.where, 0), number(second, self.where, 0)
        held, radius = self._held(index), self.cell.ball.radius
        polynomial, value = held.polynomial, held.polynomial.value
        most = polynomial.length * radius + abs(value) + held.bend * radius**2
        require(sigma * most <= weight, "sigma", f"{self.where}: a sigma is above lambda / T")
        self.curved.append((weight, polynomial))
        self.squares.append((sigma, polynomial.row))
        self.residual = self.residual.minus(polynomial.row.times(weight))
        self.needed += radius * weight * held.cubic + 2 * radius**2 * sigma * held.bend**2
        self.slack += weight * max(value, Fraction(0)) + 2 * sigma * value**2

    def pair(self, entry: object) -> None:
        """Read [constraint a, constraint b, N_ab]."""
        one, other, raw = items(entry, 3, self.where)
        a, b, weight = self._held(one), self._held(other), number(raw, self.where, 0)
        left, right, radius = a.polynomial, b.polynomial, self.cell.ball.radius
        self.squares.append((-weight / 2, left.row.plus(right.row)))
        self.squares.append((weight / 2, left.row.minus(right.row)))
        self.needed += radius * weight * (a.bend * right.length + b.bend * left.length)
        values = abs(left.value) * right.length + abs(right.value) * left.length
        self.slack += radius * weight * values

    def is_curved(self) -> bool:
        """Whether the matrix is proved to be as positive as it must be."""
        case = self.cell.ball.case
        matrix = lower_triangle(case.network.size, self.curved, self.squares, case.work)
        return is_at_least(matrix, 2 * self.needed, case.work)


def slack(cell: Cell, evidence: Object) -> Fraction:
    """How far below the center's objective the cell's feasible points may be at most."""
    proof = _Proof(cell, evidence.where, cell.ball.polynomials.flat)
    for entry in evidence.items("weights"):
        proof.weigh(entry)
    for entry in evidence.items("pairs"):
        proof.pair(entry)
    rotation = evidence.number("rotation", 0)
    if rotation:
        proof.squares += [(rotation, row) for row in cell.tangents(proof.used)]
    evidence.done()
    steep = proof.is_curved()
    require(steep, "curvature", f"{evidence.where} is not proved to curve upwards enough")
    return proof.slack + cell.ball.radius * root_above(proof.residual.square())
