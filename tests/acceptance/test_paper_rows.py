"""Show 2: every row 3.1-5.1 of the paper's table, and after every symmetry of Problem 1.

Golden facts are written here a second time, from the derivations, not read from the library.
"""

from __future__ import annotations

from math import sqrt

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from solvers.examples import EXAMPLES
from tests.acceptance.attack import survives
from tests.acceptance.audit import certified
from tests.acceptance.oracle import Json, Request
from tests.acceptance.transformations import NOT_LOCAL, TRANSFORMATIONS, Known, composed

QUICK = settings(
    max_examples=9,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate),
    report_multiple_bugs=False,
)
SLOW = settings(QUICK, max_examples=300)

GOLDEN = {
    # SVM: beta = (4,4,4,4) from multipliers 32, norm 8 = C^3, f = (3/2) C^2; lambda = 32/C^4 = 2.
    "theorem-3.1": ("global_optimum", 6.0, [2, 2, 0]),
    # w_1 = lambda v (x_1 + x_2) = lambda 2 (0, 1/2) = (0, 2): lambda = 2; f = (4 + 4)/2.
    "theorem-3.2": (NOT_LOCAL, 4.0, [2, 2]),
    # w_1 = lambda x o w_2 on coordinate 1: lambda = 1; f = (1 + 1)/2.
    "theorem-4.1-linear": (NOT_LOCAL, 1.0, [1]),
    "theorem-4.1-relu": (NOT_LOCAL, 1.0, [1]),
    # Two groups, each alone serving one example with unit part: 1 + 1, lambda = 1/||part||^2 = 1.
    "theorem-4.2-linear": ("global_optimum", 2.0, [1, 1, 0]),
    # v_j = lambda_j ||x_j||^2 = 1; f = 4 (1 + 1)/2.
    "theorem-4.2": (NOT_LOCAL, 4.0, [1, 1, 1, 1]),
    # u = ((0,4), (0,-1), -4): f = 4 + 1 + 4; v_2 = l_3, v_3 = -2 l_4, w_1 = 2(l_1+l_2-3 l_4)/4...
    "theorem-4.3": ("local_optimum", 9.0, [3.5, 3.5, 1, 1]),
    # u = ((0,4), (0,-1)): f = 5; as 3.2 for examples 1, 2, and w_2 = l_3 x_3 for example 3.
    "lemma-c.6": ("local_optimum", 5.0, [2, 2, 1]),
    # v^T X w with singular value 1: f = 1/sigma = lambda = 1.
    "theorem-4.4-linear": (NOT_LOCAL, 1.0, [1]),
    "theorem-4.4-relu": (NOT_LOCAL, 1.0, [1]),
    # ||theta||^2 = 6 2^(-2/3) = 3 lambda.
    "theorem-5.1-linear": (NOT_LOCAL, 3 * 2 ** (-2 / 3), [2 ** (1 / 3)]),
    "theorem-5.1-relu": (NOT_LOCAL, 3 * 2 ** (-2 / 3), [2 ** (1 / 3)]),
}

LAYERS = {
    "theorem-4.4-linear": (("yes", "yes"), ("yes", "yes")),
    "theorem-4.2": (("no", "no"), ("yes", "yes")),
    "lemma-c.6": (("yes", "no"), ("yes", "yes")),
}
"""Theorems 5.2, 5.3 and 5.4 at the same points: (local, global) of Problem 3 for each layer."""


def row(name: str) -> Known:
    verdict, objective, multipliers = GOLDEN[name]
    return Known(
        name,
        Request.posted(EXAMPLES[name].request),
        verdict,
        objective,
        np.array(multipliers, dtype=float),
        LAYERS.get(name),
    )


def check(known: Known) -> Json:
    body = certified(known.request)
    assert body["verdict"] == known.verdict, body["summary"]
    assert body["kkt"]["answer"] == "yes"
    assert body["objective"] == pytest.approx(known.objective, rel=1e-9)
    scale = float(np.abs(known.multipliers).max())
    np.testing.assert_allclose(
        body["kkt"]["multipliers"], known.multipliers, rtol=1e-6, atol=1e-6 * scale
    )
    assert body["kkt"]["unique"] is not False
    if known.layers is not None:
        found = tuple((la["local"]["answer"], la["global"]["answer"]) for la in body["layers"])
        assert found == known.layers
    return body


@pytest.mark.parametrize("name", GOLDEN)
def test_row_as_printed(name: str) -> None:
    known = row(name)
    body = check(known)
    assert body["kkt"]["unique"] is True
    survives(known.request, body)


@pytest.mark.parametrize("transformation", TRANSFORMATIONS)
@pytest.mark.parametrize("name", GOLDEN)
def test_row_after_one_transformation(name: str, transformation: str) -> None:
    check(composed(row(name), [transformation], seed=1))


def _assert_row_after(name: str, transformations: list[str], seed: int) -> None:
    known = composed(row(name), transformations, seed)
    body = check(known)
    if known.verdict in ("local_optimum", "global_optimum"):
        survives(known.request, body, starts=2, seed=seed)


_NAMES = st.lists(st.sampled_from(sorted(TRANSFORMATIONS)), min_size=2, max_size=8)


@pytest.mark.parametrize("name", GOLDEN)
def test_row_after_compositions(name: str) -> None:
    @QUICK
    @given(_NAMES, st.integers(0, 2**32))
    def run(names: list[str], seed: int) -> None:
        _assert_row_after(name, names, seed)

    run()


@pytest.mark.slow
@pytest.mark.parametrize("name", GOLDEN)
def test_row_after_many_compositions(name: str) -> None:
    @SLOW
    @given(_NAMES, st.integers(0, 2**32))
    def run(names: list[str], seed: int) -> None:
        _assert_row_after(name, names, seed)

    run()


def test_lemma_c_6_is_not_local_beside_an_idle_neuron() -> None:
    """The third neuron may take over example 1 or 2 at the price 1/||x_i||, as in Theorem 3.2."""
    body = check(composed(row("lemma-c.6"), ["add_idle_neuron"], seed=0))
    assert body["verdict"] == NOT_LOCAL


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("theorem-3.2", 8 / sqrt(17)),
        ("theorem-4.2", 2 * sqrt(2)),
        ("lemma-c.6", sqrt(97) / 4),
        ("theorem-4.1-linear", 0.5),
        ("theorem-4.1-relu", 0.5),
        ("theorem-4.4-linear", 1 / sqrt(32)),
        ("theorem-4.4-relu", 1 / sqrt(16.5)),
        ("theorem-5.1-linear", 1.5),
        ("theorem-5.1-relu", 1.5),
    ],
)
def test_bounds_stay_on_their_side_of_the_global_value(name: str, value: float) -> None:
    found = certified(row(name).request)["global"]
    assert found["answer"] == "no"
    assert found["better_objective"] >= value * (1 - 1e-12)
    assert found["lower_bound"] is None or found["lower_bound"] <= value * (1 + 1e-12)
