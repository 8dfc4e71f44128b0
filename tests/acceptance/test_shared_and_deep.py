"""Shared filters, circular convolutions and two hidden ReLU layers: no wrong answer at KKT points.

Every no is re-evaluated in fractions and every yes attacked; the share decided is printed.
"""

from __future__ import annotations

import numpy as np
import pytest

from tests.acceptance.families import (
    FAMILIES,
    Family,
    at_kkt_point,
    kinks_at,
    relative,
    share,
)
from tests.acceptance.oracle import flat

NAMES = [family.name for family in FAMILIES]


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_no_wrong_answer(family: Family) -> None:
    found = share(family, 1, seed=0)
    assert found.kkt > 0
    assert all(tried.points >= 2000 for tried in found.attacked)


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_no_wrong_answer_on_40_instances(family: Family) -> None:
    found = share(family, 40, seed=1000)
    print(found.kkt, dict(found.local), found.descents, dict(found.global_))
    assert found.kkt >= 20
    assert all(tried.points >= 2000 for tried in found.attacked)


@pytest.mark.parametrize("kinks", ["none", "live", "dead"])
def test_points_are_what_the_family_says(kinks: str) -> None:
    family = next(f for f in FAMILIES if f.kinks == kinks)
    drawn = at_kkt_point(family, 3, time_limit=20.0)
    assert drawn is not None
    request, body = drawn
    ratios = np.concatenate([z.ravel() for z in relative(request, flat(body["point"]))])
    assert body["kkt"]["answer"] == "yes"
    assert body["kkt"]["residual"] <= 1e-9 * (2 * body["objective"]) ** 0.5
    assert kinks_at(request, body["point"]) == kinks
    assert bool(np.isnan(ratios).any()) >= (kinks == "dead")
    assert bool((ratios < 1e-8).any()) == (kinks == "live")
