"""The parts of the curvature rule against what they say: signs, polynomials, covers, orbits."""

from __future__ import annotations

import json
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise, product
from typing import Any

import numpy as np
import pytest

from solvers.checker.case import Case
from solvers.checker.curvature.cover import Cover
from solvers.checker.curvature.matrix import lower_triangle
from solvers.checker.curvature.polynomials import Constraint, Pattern, Polynomials
from solvers.checker.curvature.rotations import Rotations
from solvers.checker.curvature.signs import Place, changing_signs
from solvers.checker.document import read
from solvers.checker.errors import Rejected
from solvers.checker.exact import Matrix, Vector, vector
from solvers.checker.fields import Object
from solvers.checker.network import Theta, read_network
from solvers.checker.statement import Problem
from solvers.checker.work import Work
from tests.core.test_local_proofs import in_ball, steepest
from tests.core.tools import (
    Array,
    Spec,
    by_hand,
    dense,
    diagonal,
    for_seeds,
    fractions,
    matrices,
    patches,
    shared,
    stacked,
)

SPARSE = stacked(3, shared([[1, 0, 2], [0, 2, 1]]), {"type": "dense", "outputs": 2})
SPECS: list[Spec] = [
    dense(2, 3, 1),
    dense(2, 3, 2, 1),
    diagonal(2, 4),
    patches(4, 2, 1, 2),
    SPARSE,
]


def problem_case(spec: Spec, x: Any) -> Case:
    """A checker's case without a point: all labels 1."""
    network = read_network(Object(read(json.dumps(spec)), "network"))
    rows = [[Fraction(float(v)) for v in row] for row in np.asarray(x)]
    problem = Problem(network, Matrix.of(rows, len(rows[0])), (1,) * len(rows))
    zero = tuple(Vector((0,) * layer.size, 0) for layer in network.layers)
    tolerance = Fraction(1, 10**6)
    return Case(problem, zero, 0, tolerance, tolerance, Work())


def drawn(spec: Spec, rng: np.random.Generator, count: int) -> tuple[Case, Array, Array, Theta]:
    """Small-integer data and parameters: zero and equal pre-activations are common."""
    network = read_network(Object(read(json.dumps(spec)), "network"))
    x = rng.integers(-2, 3, size=(count, network.layers[0].inputs)) * 1.0
    theta = rng.integers(-3, 4, size=network.size) / 4.0
    case = problem_case(spec, x)
    return case, x, theta, case.point([Fraction(v) for v in theta], "theta")


@pytest.mark.parametrize("spec", SPECS)
@for_seeds(5)
def test_signs_outside_the_set_do_not_change(spec: Spec, seed: int) -> None:
    rng = np.random.default_rng(seed)
    case, x, theta, center = drawn(spec, rng, 2)
    radius = float(rng.choice([1.0, 0.25, 0.05])) * rng.random()
    moving = changing_signs(case, center, Fraction(radius))
    here = [np.sign(z) for z in by_hand(spec, theta, x)[0]]
    reaching = case.network.reaching
    for moved in [*in_ball(rng, theta, radius, 25), *steepest(spec, theta, x, radius)]:
        for layer, (z, sign) in enumerate(zip(by_hand(spec, moved, x)[0], here, strict=True)):
            for i, j in np.argwhere(z * np.where(sign == 0.0, 1.0, sign) < -1e-12):
                if reaching[layer][j]:
                    assert (layer, int(i), int(j)) in moving
            for i, j in np.argwhere((z > 1e-12) & (sign == 0.0)):
                if reaching[layer][j]:
                    assert (layer, int(i), int(j)) in moving


def test_a_sign_changes_beyond_its_distance_only() -> None:
    """|<w, x>| = 3, ||x|| = 5: the sign is fixed up to the distance 3/5, that included."""
    case = problem_case(dense(2, 1, 1), [[3.0, 4.0]])
    center = case.point([Fraction(1), Fraction(0), Fraction(1)], "theta")
    assert changing_signs(case, center, Fraction(3, 5)) == set()
    more = Fraction(3, 5) + Fraction(1, 10**15)
    assert changing_signs(case, center, more) == {(0, 0, 0)}


def test_signs_of_inputs_that_stay_zero_are_not_needed() -> None:
    """x_2 = 0; the neuron above it has z = 0 for all weights, and so has what it alone feeds."""
    case = problem_case(diagonal(2, 3), [[1.0, 0.0]])
    center = case.point([Fraction(1)] * 6, "theta")
    assert changing_signs(case, center, Fraction(1, 100)) == set()
    reached = {(0, 0, 0), (1, 0, 0)}
    assert changing_signs(case, center, Fraction(2)) == reached


def test_neurons_above_a_fixed_negative_one_need_no_sign() -> None:
    case = problem_case(diagonal(1, 3), [[1.0]])
    center = case.point([Fraction(-1), Fraction(0), Fraction(1)], "theta")
    assert changing_signs(case, center, Fraction(1, 2)) == set()
    assert changing_signs(case, center, Fraction(2)) == {(0, 0, 0), (1, 0, 0)}


def _frozen(spec: Spec, theta: Array, x: Array, pattern: Pattern, constraint: Constraint) -> Any:
    """The constraint's polynomial at fractions theta, by matrices."""
    value = x
    for k, w in enumerate(matrices(spec, theta)[: constraint.layer + 1]):
        z = w @ value
        if k == constraint.layer:
            return constraint.sign * z[constraint.neuron] - constraint.level
        value = z * np.array([Fraction(s) for s in pattern[k]])
    raise AssertionError


def _coefficients(values: list[Fraction]) -> list[Fraction]:
    """Of the polynomial with these values at 0, 1, 2, ... (Newton's differences)."""
    found = [Fraction(0)] * len(values)
    basis, level = [Fraction(1)], list(values)
    for k in range(len(values)):
        for power, coefficient in enumerate(basis):
            found[power] += level[0] * coefficient
        level = [b - a for a, b in pairwise(level)]
        grown = [Fraction(0), *basis]
        basis = [(a - k * b) / (k + 1) for a, b in zip(grown, [*basis, Fraction(0)], strict=True)]
    return found


@pytest.mark.parametrize("spec", SPECS)
@for_seeds(4)
def test_polynomials_are_the_networks(spec: Spec, seed: int) -> None:
    """Value, gradient and second derivatives exactly; their bounds, and the remainder's."""
    rng = np.random.default_rng(seed)
    case, x, theta, center = drawn(spec, rng, 1)
    network = case.network
    pattern: Pattern = tuple(
        tuple(rng.integers(0, 2, size=layer.outputs).tolist()) for layer in network.layers[:-1]
    )
    layer = int(rng.integers(network.depth))
    neuron = int(rng.integers(network.layers[layer].outputs))
    constraint = Constraint(layer, neuron, 0, int(rng.choice([-1, 1])), int(rng.integers(2)))
    about = Polynomials(case, center)
    found = about.of(constraint, pattern)
    step = rng.integers(-2, 3, size=theta.size) / 8.0
    exact, row = fractions(theta), fractions(x[0])
    values = [
        _frozen(spec, exact + k * fractions(step), row, pattern, constraint)
        for k in range(network.depth + 1)
    ]
    taylor = _coefficients(values)
    d = vector([Fraction(v) for v in step])
    matrix = lower_triangle(network.size, [(Fraction(-1), found)], [], Work())
    unit = Fraction(2) ** matrix.exponent
    form = sum(
        unit * matrix.rows[i][j] * d[i] * d[j] * (1 if i == j else 2)
        for i in range(network.size)
        for j in range(i + 1)
    )
    assert found.value == taylor[0]
    assert found.row.dot(d) == taylor[1]
    assert form - d.square() == 2 * taylor[2]
    length = found.length
    assert length**2 >= found.row.square()
    size = Fraction(1.0000001) * Fraction(float(np.linalg.norm(step)))
    second, cubic = about.bounds(constraint, size)
    assert abs(2 * taylor[2]) <= second * size**2
    assert abs(sum(taylor[3:], Fraction(0))) <= cubic * size**3


def test_bounds_are_attained_by_products() -> None:
    """Phi = u v w at (1, 1, 1), x = 1: S_2 = 3, and d = (1, 1, 1) t has the rest t^3."""
    case = problem_case(dense(1, 1, 1, 1), [[1.0]])
    about = Polynomials(case, case.point([Fraction(1)] * 3, "theta"))
    second, cubic = about.bounds(Constraint(2, 0, 0, 1, 1), Fraction(1, 2))
    assert second == 3
    assert 0 <= cubic**2 - Fraction(1, 27) <= Fraction(1, 10**20)


@for_seeds(20)
def test_squares_are_added_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size, count = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    rows = rng.normal(size=(count, size)) * 10.0 ** rng.integers(-20, 20, size=(count, 1))
    weights = rng.normal(size=count)
    squares = [
        (Fraction(float(w)), vector([Fraction(float(v)) for v in row]))
        for w, row in zip(weights, rows, strict=True)
    ]
    found = lower_triangle(size, [], squares, Work())
    for i in range(size):
        for j in range(i + 1):
            value = Fraction(int(i == j)) + sum(w * v[i] * v[j] for w, v in squares)
            assert found.rows[i][j] * Fraction(2) ** found.exponent == value


def _attained(rows: Array, rng: np.random.Generator) -> set[tuple[int, ...]]:
    z = rng.normal(size=(100_000, rows.shape[1])) @ rows.T
    return {tuple(int(v) for v in s) for s in np.sign(z[(z != 0.0).all(axis=1)])}


def _is_covered(cover: Cover, cells: list[tuple[int, ...]]) -> bool:
    try:
        cover.require_covered(cells)
    except Rejected as rejected:
        return rejected.condition != "cover"
    return True


@for_seeds(25)
def test_covers_need_every_cell_that_is_attained(seed: int) -> None:
    """All sets of up to d + 1 places that are proved empty leave out no attained sign vector."""
    rng = np.random.default_rng(seed)
    count, size = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    x = rng.integers(-2, 3, size=(count, size)) * 1.0
    x = x[x.any(axis=1)]
    if not len(x):
        return
    places: list[Place] = [(0, i, 0) for i in range(len(x))]
    cover = Cover(problem_case(dense(size, 1, 1), x), places)
    for signs in product((-1, 0, 1), repeat=len(places)):
        support = [[k + 1, s] for k, s in enumerate(signs) if s]
        if 1 < len(support) <= size + 1:
            with suppress(Rejected):
                cover.leave_out(support, "empty")
    cells = _attained(x, rng)
    assert _is_covered(cover, sorted(cells))
    for cell in cells:
        assert not _is_covered(cover, sorted(cells - {cell}))


def test_a_neuron_with_one_input_has_one_sign_above_the_first_layer_only() -> None:
    case = problem_case(diagonal(1, 3), [[1.0], [2.0]])
    both = [(1, 1), (-1, -1)]
    assert _is_covered(Cover(case, [(1, 0, 0), (1, 1, 0)]), both)
    assert not _is_covered(Cover(case, [(1, 0, 0), (1, 1, 0)]), both[:1])
    assert not _is_covered(Cover(case, [(0, 0, 0), (0, 1, 0)]), both)
    assert not _is_covered(Cover(case, [(0, 0, 0), (1, 1, 0)]), both)
    wide = problem_case(diagonal(2, 3), [[1.0, 1.0], [2.0, 1.0]])
    assert not _is_covered(Cover(wide, [(1, 0, 0), (1, 1, 1)]), both)
    two_inputs = problem_case(dense(1, 2, 1, 1), [[1.0], [2.0]])
    assert not _is_covered(Cover(two_inputs, [(1, 0, 0), (1, 1, 0)]), both)


def test_emptiness_serves_the_reversed_signs_but_no_others() -> None:
    """Rows 1 and 2 are parallel."""
    case = problem_case(dense(1, 1, 1), [[1.0], [2.0]])
    cover = Cover(case, [(0, 0, 0), (0, 1, 0)])
    cover.leave_out([[1, 1], [2, -1]], "empty")
    assert _is_covered(cover, [(1, 1), (-1, -1)])
    assert not _is_covered(cover, [(1, 1)])
    assert not _is_covered(cover, [(-1, -1), (1, -1)])


ROTATING: list[tuple[Spec, int]] = [
    (dense(2, 3, 1, activation="linear"), 3),
    (dense(2, 2, 3, 1, activation="linear"), 1 + 3),
    (patches(4, 2, 1, 3, activation="linear"), 3),
    (
        stacked(
            6,
            {"type": "convolution", "filter_size": 2, "filters": 3},
            {"type": "convolution", "filter_size": 2, "channels": 3, "filters": 2},
            activation="linear",
        ),
        3 + 1,
    ),
    (diagonal(3, 3, "linear"), 0),
    (stacked(3, shared([[1, 0, 2], [0, 2, 1]]), activation="linear"), 0),
    (stacked(2, shared([[1, 2], [2, 1]]), activation="linear"), 0),
]


@pytest.mark.parametrize(("spec", "count"), ROTATING)
@for_seeds(3)
def test_rotations_keep_norm_and_polynomials(spec: Spec, count: int, seed: int) -> None:
    """<theta, S theta> = 0 and J S theta = 0 at every theta: the whole orbit keeps both."""
    rng = np.random.default_rng(seed)
    case, _, _, center = drawn(spec, rng, 2)
    network = case.network
    ones: list[Pattern] = [tuple((1,) * layer.outputs for layer in network.layers[:-1])] * 2
    used = {Constraint(network.depth - 1, 0, i, 1, 1) for i in range(2)}
    about = Polynomials(case, center)
    rows = Rotations(network, center).rows(used, ones)
    assert len(rows) == count
    for row in rows:
        assert row.dot(about.flat) == 0
        for constraint in used:
            assert about.of(constraint, ones[constraint.example]).row.dot(row) == 0


@for_seeds(12)
def test_rotations_keep_walls_and_slopes(seed: int) -> None:
    """Random slopes and sign constraints of any layer: all used polynomials are kept."""
    rng = np.random.default_rng(seed)
    spec = dense(2, 3, 3, 1)
    case, _, _, center = drawn(spec, rng, 2)
    patterns: list[Pattern] = [
        tuple(tuple(rng.integers(0, 2, size=3).tolist()) for _ in range(2)) for _ in range(2)
    ]
    walls = [
        Constraint(int(rng.integers(2)), int(rng.integers(3)), int(rng.integers(2)), 1, 0)
        for _ in range(int(rng.integers(3)))
    ]
    used = {*walls, Constraint(2, 0, int(rng.integers(2)), 1, 1)}
    about = Polynomials(case, center)
    for row in Rotations(case.network, center).rows(used, patterns):
        for constraint in used:
            assert about.of(constraint, patterns[constraint.example]).row.dot(row) == 0


def test_neurons_rotate_only_with_equal_slopes_and_without_walls() -> None:
    case = problem_case(dense(2, 3, 1), [[1.0, 2.0], [3.0, 4.0]])
    center = case.point([Fraction(k) for k in range(1, 10)], "theta")
    rotations = Rotations(case.network, center)
    patterns: list[Pattern] = [((1, 0, 1),), ((1, 1, 1),)]
    margin, other = (Constraint(1, 0, i, 1, 1) for i in range(2))
    (row,) = rotations.rows({margin, other}, patterns)
    assert [row[k] for k in range(9)] == [5, 6, 0, 0, -1, -2, 9, 0, -7]
    assert len(rotations.rows({other}, patterns)) == 3
    wall = Constraint(0, 2, 1, 1, 0)
    assert rotations.rows({margin, other, wall}, patterns) == []


def test_neurons_without_a_path_to_the_output_need_no_sign() -> None:
    spec = stacked(1, {"type": "dense", "outputs": 2}, shared([[1, 0]]))
    case = problem_case(spec, [[1.0]])
    center = case.point([Fraction(k) for k in (1, 0, 1, 1)], "theta")
    assert changing_signs(case, center, Fraction(1, 10)) == set()


def test_changes_add_up_over_the_layers() -> None:
    """All weights 1 on x = 1: layer l moves by (1 + r)^l - 1, which is 1 at r = 2^(1/l) - 1."""
    case = problem_case(diagonal(1, 4), [[1.0]])
    center = case.point([Fraction(1)] * 4, "theta")
    for radius, moving in ((0.2599, set()), (0.26, {2}), (0.414, {2}), (0.415, {1, 2})):
        found = changing_signs(case, center, Fraction(radius))
        assert found == {(layer, 0, 0) for layer in moving}
