"""Forged statements about points, multipliers and directions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from solvers.examples import EXAMPLES
from tests.checker.forging import (
    BASES,
    Forgery,
    Json,
    assert_caught,
    certificate,
    checked,
    evidence,
    honest,
    names,
    only,
    stated,
)

BASES["dead-neuron"] = lambda: certificate(EXAMPLES["theorem-3.2"].request)


def _flip_multiplier(found: Json) -> None:
    evidence(found, "kkt")["columns"][0]["weight"] *= -1


def _smaller_multiplier(found: Json) -> None:
    evidence(found, "kkt")["columns"][0]["weight"] *= 0.99


def _lower_point(found: Json) -> None:
    part = found["statement"]["point"][0][0]
    part[1] = float(np.nextafter(part[1], 0.0))


def _wrong_kink(found: Json) -> None:
    evidence(found, "kkt")["columns"][0]["kinks"] = [[1, 1, 0.5]]


def _boolean(found: Json) -> None:
    evidence(found, "kkt")["columns"][0]["weight"] = True


FORGERIES = [
    Forgery("multiplier sign", "dead-neuron", "kkt", "sign", _flip_multiplier),
    Forgery("multiplier size", "dead-neuron", "kkt", "residual", _smaller_multiplier),
    Forgery("slope where there is no kink", "dead-neuron", "kkt", "kink", _wrong_kink),
    Forgery("boolean weight", "dead-neuron", "kkt", "number", _boolean),
]


@pytest.mark.parametrize("forgery", FORGERIES, ids=names(FORGERIES))
def test_forgeries_are_caught(forgery: Forgery) -> None:
    assert_caught(forgery, honest(forgery.base))


def test_a_point_one_ulp_too_low_is_infeasible() -> None:
    found = only(honest("dead-neuron"), "feasible")
    forged: dict[str, Any] = {**found, "statement": {**found["statement"]}}
    assert checked(found).valid
    assert stated(found, "feasible") == {"claim": "feasible"}
    assert_caught(Forgery("ulp", "dead-neuron", "feasible", "margin", _lower_point), forged)
