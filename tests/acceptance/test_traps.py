"""Show 6: nearly dead neurons and nearly zero pre-activations (theory, section 0)."""

from __future__ import annotations

import numpy as np
import pytest

from tests.acceptance.attack import survives
from tests.acceptance.audit import certified
from tests.acceptance.oracle import Json, Request
from tests.acceptance.transformations import orthogonal

RELU_2_2_1 = {"type": "fully_connected", "widths": [2, 2, 1], "activation": "relu"}
DATA_3_2 = np.array([[1.0, 0.25], [-1.0, 0.25]])
DIRECTIONS = {
    "dead": (0.0, -1.0),
    "first": (1.0, 0.0),
    "along_x_1": (0.970142500145332, 0.24253562503633297),
    "second": (-0.9, 0.3),
    "both": (0.1, 1.0),
    "on_a_kink": (0.25, -1.0),
}


def slow(*values: float) -> list[object]:
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


SIZES = [10.0**-k for k in range(4, 13)]


def trap_3_2(direction: tuple[float, float], size: float, output: float) -> Request:
    """Theorem 3.2's point with w_2 = size x direction and v_2 = output."""
    w = [[0.0, 2.0], [size * direction[0], size * direction[1]]]
    return Request.of(RELU_2_2_1, DATA_3_2, [w, [[2.0, output]]])


def no_false_yes(request: Request, **options: object) -> Json:
    body = certified(request, **options)
    survives(request, body, starts=3)
    return body


@pytest.mark.parametrize("output", [0.0, 1.0, -0.3])
@pytest.mark.parametrize("name", DIRECTIONS)
@pytest.mark.parametrize("size", [1e-7, 1e-9, *slow(1e-8, 1e-10, 1e-12)])
def test_theorem_3_2_with_a_vanishing_neuron_is_never_local(
    name: str, size: float, output: float
) -> None:
    """A better point lies within 1e-6 ||theta|| of the limit, so within any certifiable radius."""
    body = no_false_yes(trap_3_2(DIRECTIONS[name], size, size * output))
    assert body["local"]["answer"] != "yes"
    assert body["global"]["answer"] != "yes"


@pytest.mark.parametrize("output", [0.0, 1.0, -1.0])
@pytest.mark.parametrize("name", DIRECTIONS)
def test_theorem_3_2_with_a_neuron_of_1e_3_is_not_kkt(name: str, output: float) -> None:
    """w_2 = v_2 sum_active lambda_i x_i and v_2 = sum lambda_i z_i2 fail by order 1e-3: no such
    direction is parallel to lambda_1 x_1, lambda_2 x_2 or their sum with the right length."""
    body = no_false_yes(trap_3_2(DIRECTIONS[name], 1e-3, 1e-3 * output))
    assert body["verdict"] == "not_kkt", body["summary"]
    assert body["global"]["answer"] == "no"


@pytest.mark.parametrize("size", [1e-5, 1e-8, *slow(1e-4, 1e-6, 1e-7)])
@pytest.mark.parametrize("name", DIRECTIONS)
def test_theorem_3_2_in_between(name: str, size: float) -> None:
    body = no_false_yes(trap_3_2(DIRECTIONS[name], size, size))
    assert body["global"]["answer"] != "yes"


def split_3_2(size: float) -> Request:
    """u_1 + u_2 = (0, 4) with ||u_2|| = size^2: KKT, without kinks, hence local (Theorem 4.3)."""
    a = np.sqrt(4.0 - size**2)
    return Request.of(RELU_2_2_1, DATA_3_2, [[[0.0, a], [0.0, size]], [[a, size]]])


def test_a_split_neuron_of_1e_3_is_local() -> None:
    """The signs hold within 1e-3 x 0.2425: a radius of 2.4e-4 against R_min = 2.8e-6."""
    body = no_false_yes(split_3_2(1e-3))
    assert body["verdict"] == "local_optimum"
    assert body["local"]["radius"] <= 1e-3 * 0.2426


@pytest.mark.parametrize("size", SIZES)
def test_a_split_neuron_vanishing(size: float) -> None:
    body = no_false_yes(split_3_2(size))
    assert body["global"]["answer"] != "yes"
    assert body["kkt"]["answer"] != "no"
    if size <= 1e-6:
        assert body["local"]["answer"] != "yes"


def obtuse(excess: float) -> Request:
    """Unit x_1, x_2 at 90 degrees + excess, a neuron along each: KKT with z = -sin(excess).

    excess > 0: no kink, hence local, with a radius of about excess. At 0: turning u_1 by t towards
    x_2 costs t^2/2 and saves t, so the point is not local; the same at every distance >> excess.
    """
    x = np.array([[0.0, 1.0], [np.cos(excess), -np.sin(excess)]])
    x[1, 1] = -np.sin(excess)
    return Request.of(RELU_2_2_1, x, [x, [[1.0, 1.0]]])


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("excess", [0.0, 1e-12, 1e-10, 1e-8, *slow(1e-14, 1e-9, 1e-7)])
def test_a_vanishing_preactivation_is_never_local(excess: float, turned: bool) -> None:
    body = no_false_yes(_turned(obtuse(excess), turned))
    assert body["local"]["answer"] != "yes"
    assert body["global"]["answer"] == "no"


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("excess", [1e-3, 1e-2])
def test_a_preactivation_of_1e_3_is_local(excess: float, turned: bool) -> None:
    body = no_false_yes(_turned(obtuse(excess), turned))
    assert body["verdict"] == "local_optimum"
    assert body["local"]["radius"] <= excess * 1.001


@pytest.mark.parametrize("excess", [1e-4, 1e-5, 1e-6, 3e-6])
def test_a_preactivation_in_between(excess: float) -> None:
    body = no_false_yes(obtuse(excess))
    assert body["kkt"]["answer"] == "yes"
    assert body["local"]["answer"] != "no", "local at its own scale, by Theorem 4.3"


def _turned(request: Request, turned: bool) -> Request:
    if not turned:
        return request
    q = orthogonal(np.random.default_rng(5), 2)
    first, last = request.parameters
    return Request.of(request.network, request.x @ q.T, [first @ q.T, last], request.y)


CROSS = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [-1.0, 0.0]])


@pytest.mark.parametrize("size", [1e-8, 1e-10, 1e-16, *slow(1e-7, 1e-9, 1e-12, 1e-14)])
@pytest.mark.parametrize("seed", range(3))
def test_theorem_4_2_part_2_nearly_on_its_kinks_is_never_local(seed: int, size: float) -> None:
    network = {"type": "fully_connected", "widths": [2, 4, 1], "activation": "relu"}
    rng = np.random.default_rng(seed)
    w = CROSS + size * rng.choice([-1.0, 0.0, 1.0], size=(4, 2))
    body = no_false_yes(Request.of(network, CROSS, [w, [[1.0] * 4]]))
    assert body["local"]["answer"] != "yes"
    assert body["global"]["answer"] == "no"


@pytest.mark.parametrize("seed", range(4))
def test_theorem_4_2_part_2_off_its_kinks_by_1e_3_is_not_kkt(seed: int) -> None:
    """w_j = lambda_j x_j + (what an active neighbour adds, along x_k): the signs do not match.

    A turn of w_j by 1e-3 needs weight 1e-3 on the neighbour it activates, whose gradient then also
    has v_j-component z = 1e-3: impossible, since lambda = 1 there (its own neuron's v).
    """
    network = {"type": "fully_connected", "widths": [2, 4, 1], "activation": "relu"}
    turn = 1e-3 * np.random.default_rng(seed).choice([-1.0, 1.0], size=4)
    w = CROSS + turn[:, None] * np.roll(CROSS, 1, axis=0)
    body = no_false_yes(Request.of(network, CROSS, [w, [[1.0] * 4]]))
    assert body["verdict"] == "not_kkt", body["summary"]


@pytest.mark.parametrize("size", [1e-3, 1e-6, 1e-9, 1e-12])
def test_a_vanishing_filter_at_theorem_4_4(size: float) -> None:
    c = 1 / np.sqrt(2)
    network = {
        "type": "convolutional",
        "input_size": 4,
        "filter_size": 2,
        "stride": 2,
        "filters": 2,
        "padding": "valid",
        "activation": "relu",
    }
    request = Request.of(
        network,
        [[4.0, c, -4.0, c]],
        [[[0.0, 1.0], [size, size]], [[c, c, size, size]]],
    )
    body = no_false_yes(request)
    assert body["local"]["answer"] != "yes"


@pytest.mark.parametrize("size", [1e-3, 1e-5, 1e-7, 1e-9, 1e-12, 1e-100])
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_a_vanishing_coordinate_at_theorem_4_1(activation: str, size: float) -> None:
    network = {"type": "diagonal", "dimension": 2, "depth": 2, "activation": activation}
    body = no_false_yes(Request.of(network, [[1.0, 2.0]], [[1.0, size], [1.0, size]]))
    assert body["local"]["answer"] != "yes"


def test_a_wide_kink_tolerance_does_not_contradict_itself() -> None:
    """0 < z = 0.005 counts as a kink; the frozen pattern must still be the true one.

    u_j = c x_j with c (1 + z) = 1: (eps, delta)-KKT in the Goldstein sense with slope 0, and not
    optimal in any neighbourhood, where both pre-activations are positive.
    """
    z = 0.005
    x = np.array([[0.0, 1.0], [np.sqrt(1 - z * z), z]])
    root = np.sqrt(1 / (1 + z))
    request = Request.of(RELU_2_2_1, x, [root * x, [[root, root]]])
    body = no_false_yes(request, kink_tolerance=1e-2)
    assert body["local"]["answer"] != "yes"


def test_wide_kinks_that_cancel_do_not_make_a_false_local_optimum() -> None:
    """Pairs of unit inputs at <x_1, x_2> = e and <x_3, x_4> = e / (1 + 2 e); labels 1, 1, 1, -1.

    A neuron along each input, u_j = c_j x_j. With every near-kink frozen at slope 0 the multipliers
    are nearly 1 and f = 2/(1 + e) + 2/(1 - e/(1 + 2e)) = 4: that "proof" nearly closes.
    In truth all signs are positive near the point and u_1 alone could serve examples 1 and 2.
    """
    e = 0.005
    g = e / (1 + 2 * e)
    x = np.zeros((4, 4))
    x[0, 0], x[2, 2] = 1.0, 1.0
    x[1, :2], x[3, 2:] = (e, np.sqrt(1 - e * e)), (g, np.sqrt(1 - g * g))
    sizes = np.array([1 / (1 + e)] * 2 + [1 / (1 - g)] * 2)
    roots, y = np.sqrt(sizes), [1, 1, 1, -1]
    network = {"type": "fully_connected", "widths": [4, 4, 1], "activation": "relu"}
    request = Request.of(network, x, [roots[:, None] * x, [roots * y]], y)
    body = no_false_yes(request, kink_tolerance=1e-2)
    assert body["local"]["answer"] != "yes"
    assert certified(request)["verdict"] == "not_kkt"
