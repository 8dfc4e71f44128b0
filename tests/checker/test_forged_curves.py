"""Forged curvature bounds: every condition of the rule notices something, and only that."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.checker.curved import INSTANCES, checked_case, proved, proved_bound, tight
from tests.checker.forging import (
    BASES,
    Forgery,
    Json,
    above,
    assert_caught,
    checked,
    evidence,
    honest,
    names,
    stated,
)

LOCAL = "local_lower_bound"


def _base(name: str) -> Callable[[], Json]:
    return lambda: tight(name)


for _name in INSTANCES:
    BASES[f"curved {_name}"] = _base(_name)


def _of(found: Json) -> Json:
    return evidence(found, LOCAL)


def _set(*path: Any) -> Callable[[Json], None]:
    """Put the last item of the path where the others lead."""
    *way, last, value = path

    def tamper(found: Json) -> None:
        at: Any = _of(found)
        for step in way:
            at = at[step]
        at[last] = value(at[last]) if callable(value) else value

    return tamper


def _radius(factor: float) -> Callable[[Json], None]:
    def tamper(found: Json) -> None:
        stated(found, LOCAL)["radius"] *= factor

    return tamper


def _value(found: Json) -> None:
    claim = stated(found, LOCAL)
    claim["value"] = above(claim["value"])


def _drop(*way: Any) -> Callable[[Json], None]:
    """Delete the item where the path leads."""

    def tamper(found: Json) -> None:
        at: Any = _of(found)
        for step in way[:-1]:
            at = at[step]
        del at[way[-1]]

    return tamper


def _close_place(found: Json) -> None:
    """The first open sign is said to be fixed: it and its signs disappear, negative cells too."""
    proof = _of(found)
    proof["open"] = proof["open"][1:]
    proof["cells"] = [c for c in proof["cells"] if c["signs"].pop(0) > 0]
    for cell in proof["cells"]:
        cell["weights"] = [w for w in cell["weights"] if w[0] <= 3]


def _swap_cells(found: Json) -> None:
    cells = _of(found)["cells"]
    cells[0]["signs"], cells[-1]["signs"] = cells[-1]["signs"], cells[0]["signs"]


def _twice(found: Json) -> None:
    proof = _of(found)
    proof["open"].append(proof["open"][0])
    for cell in proof["cells"]:
        cell["signs"].append(cell["signs"][0])


def _only_negative(found: Json) -> None:
    """The zero form has the sign -1 alone: only +1 may stand for both."""
    _of(found)["cells"][0]["signs"] = [-1]


def _activation(found: Json) -> None:
    found["statement"]["problem"]["network"]["activation"] = "relu"


def _center(found: Json) -> None:
    """A center five radii away: its ball is larger than its multipliers prove."""
    center, radius = _of(found)["center"], stated(found, LOCAL)["radius"]
    center[0] += 5.0 * radius


def _halves(found: Json) -> None:
    for entry in _of(found)["cells"][0]["weights"]:
        entry[1:] = [0.5 * entry[1], 0.25 * entry[2]]


def _forget_weights(found: Json) -> None:
    _of(found)["cells"][0]["weights"] = []


def _less_sigma(found: Json) -> None:
    for entry in _of(found)["cells"][0]["weights"]:
        entry[2] = 0.0


def _rows(found: Json) -> None:
    found["statement"]["problem"]["dataset"]["x"].reverse()


FORGERIES = [
    Forgery("bound above the proof", "curved smooth", LOCAL, "bound", _value),
    Forgery("bound of kinks", "curved deep kinks", LOCAL, "bound", _value),
    Forgery("bound about a center", "curved off center", LOCAL, "bound", _value),
    Forgery("bound with pairs", "curved paired", LOCAL, "bound", _value),
    Forgery("bound with slack", "curved loose", LOCAL, "bound", _value),
    Forgery("weight halved", "curved smooth", LOCAL, "bound", _halves),
    Forgery("no weights", "curved smooth", LOCAL, "bound", _forget_weights),
    Forgery(
        "multiplier sign", "curved smooth", LOCAL, "sign", _set("cells", 0, "weights", 0, 1, -1.0)
    ),
    Forgery(
        "sigma's sign", "curved smooth", LOCAL, "sign", _set("cells", 0, "weights", 0, 2, -1.0)
    ),
    Forgery(
        "larger sigma",
        "curved smooth",
        LOCAL,
        "sigma",
        _set("cells", 0, "weights", 0, 2, lambda s: s * (1.0 + 1e-8)),
    ),
    Forgery("no sigma", "curved loose", LOCAL, "curvature", _less_sigma),
    Forgery("doubled radius", "curved smooth", LOCAL, "sigma", _radius(2.0)),
    Forgery("doubled radius at a cone", "curved paired", LOCAL, "sigma", _radius(2.0)),
    Forgery("radius across a sign", "curved alike", LOCAL, "fixed signs", _radius(50.0)),
    Forgery("radius across more signs", "curved one input", LOCAL, "fixed signs", _radius(50.0)),
    Forgery("pair's sign", "curved paired", LOCAL, "sign", _set("cells", 0, "pairs", 0, 2, -1.0)),
    Forgery(
        "pair of other constraints",
        "curved paired",
        LOCAL,
        "curvature",
        _set("cells", 0, "pairs", 0, 0, 1),
    ),
    Forgery("no pairs", "curved paired", LOCAL, "curvature", _set("cells", 0, "pairs", [])),
    Forgery(
        "larger pairs",
        "curved paired",
        LOCAL,
        "curvature",
        _set("cells", 0, "pairs", 0, 2, lambda v: 10.0 * v),
    ),
    Forgery("no rotation", "curved rotating", LOCAL, "curvature", _set("cells", 0, "rotation", 0)),
    Forgery(
        "no rotation, ReLU", "curved alike", LOCAL, "curvature", _set("cells", 0, "rotation", 0)
    ),
    Forgery("rotation's sign", "curved rotating", LOCAL, "sign", _set("cells", 0, "rotation", -1)),
    Forgery("dropped cell", "curved dead", LOCAL, "cover", _drop("cells", 5)),
    Forgery("dropped cell of a deep kink", "curved deep kinks", LOCAL, "cover", _drop("cells", 0)),
    Forgery("dropped cell of one input", "curved one input", LOCAL, "cover", _drop("cells", 7)),
    Forgery("the only cell dropped", "curved smooth", LOCAL, "cover", _drop("cells", 0)),
    Forgery("zero form negative", "curved zero form", LOCAL, "cover", _only_negative),
    Forgery("dropped emptiness", "curved dead", LOCAL, "cover", _drop("empty", 0)),
    Forgery(
        "emptiness of a wrong sign",
        "curved dead",
        LOCAL,
        "empty cell",
        _set("empty", 0, 0, 1, lambda s: -s),
    ),
    Forgery("emptiness of part", "curved dead", LOCAL, "empty cell", _drop("empty", 0, 0)),
    Forgery(
        "emptiness of more",
        "curved dead",
        LOCAL,
        "empty cell",
        _set("empty", 0, [[1, 1], [2, 1], [3, 1], [4, 1], [5, -1]]),
    ),
    Forgery("emptiness of nothing", "curved dead", LOCAL, "empty cell", _set("empty", 0, [])),
    Forgery(
        "emptiness of a zero form",
        "curved zero form",
        LOCAL,
        "empty cell",
        _set("empty", [[[1, 1]]]),
    ),
    Forgery(
        "emptiness above",
        "curved deep kinks",
        LOCAL,
        "empty cell",
        _set("empty", [[[1, 1], [2, -1]]]),
    ),
    Forgery("emptiness without sign", "curved dead", LOCAL, "sign", _set("empty", 0, 0, 1, 0)),
    Forgery("cell without sign", "curved dead", LOCAL, "sign", _set("cells", 0, "signs", 0, 0)),
    Forgery("a sign said to be fixed", "curved deep kinks", LOCAL, "fixed signs", _close_place),
    Forgery("an open sign twice", "curved one input", LOCAL, "open signs", _twice),
    Forgery(
        "an open sign of a linear net",
        "curved smooth",
        LOCAL,
        "open signs",
        _set("open", [[1, 1, 1]]),
    ),
    Forgery("open sign of the output", "curved dead", LOCAL, "range", _set("open", 0, 0, 3)),
    Forgery("open sign of no example", "curved dead", LOCAL, "range", _set("open", 0, 1, 7)),
    Forgery("open sign of no neuron", "curved dead", LOCAL, "range", _set("open", 0, 2, 0)),
    Forgery(
        "a cell's sign too many", "curved dead", LOCAL, "length", _set("cells", 0, "signs", [1])
    ),
    Forgery("signs of other cells", "curved deep kinks", LOCAL, "curvature", _swap_cells),
    Forgery("constraint 0", "curved smooth", LOCAL, "range", _set("cells", 0, "weights", 0, 0, 0)),
    Forgery(
        "no such constraint", "curved smooth", LOCAL, "range", _set("cells", 0, "weights", 0, 0, 3)
    ),
    Forgery("no such pair", "curved paired", LOCAL, "range", _set("cells", 0, "pairs", 0, 1, 4)),
    Forgery(
        "boolean weight", "curved smooth", LOCAL, "number", _set("cells", 0, "weights", 0, 1, True)
    ),
    Forgery(
        "unknown field",
        "curved smooth",
        LOCAL,
        "unknown field",
        _set("cells", 0, lambda c: {**c, "mu": 1}),
    ),
    Forgery("missing field", "curved smooth", LOCAL, "missing field", _drop("cells", 0, "pairs")),
    Forgery("ReLU for linear", "curved smooth", LOCAL, "fixed signs", _activation),
    Forgery("other center", "curved off center", LOCAL, "fixed signs", _center),
    Forgery("swapped examples", "curved deep kinks", LOCAL, "fixed signs", _rows),
]


@pytest.mark.parametrize("forgery", FORGERIES, ids=names(FORGERIES))
def test_forgeries_are_caught(forgery: Forgery) -> None:
    assert_caught(forgery, honest(forgery.base))


@pytest.mark.parametrize("name", INSTANCES)
def test_honest_certificates_are_accepted(name: str) -> None:
    """As written, and claiming all that the evidence proves: one ulp more is too much."""
    report = checked(proved(name))
    assert report.valid
    assert report.verdict == "local_optimum"
    found = tight(name)
    assert checked(found).valid
    claim = stated(found, LOCAL)
    claim["value"] = float(np.nextafter(claim["value"], np.inf))
    assert {c.condition for c in checked(found).claims if not c.holds} == {"bound"}


def test_the_instances_need_what_they_are_named_after() -> None:
    cells = {name: evidence(honest(f"curved {name}"), LOCAL)["cells"] for name in INSTANCES}
    assert {name: len(found) for name, found in cells.items() if len(found) > 1} == {
        "dead": 12,
        "one input": 8,
        "deep kinks": 4,
    }
    assert cells["paired"][0]["pairs"]
    assert cells["rotating"][0]["rotation"] > 0
    assert cells["alike"][0]["rotation"] > 0
    assert "center" in evidence(honest("curved off center"), LOCAL)
    loose = checked_case(honest("curved loose"))
    assert loose.margins[1] > 1 + Fraction(1, 10**9)
    assert loose.objective - proved_bound(honest("curved loose")) > Fraction(1, 10**9)
