"""Random damage to honest certificates: always a report, never an exception.

Every place of the document is visited; each gets values of other kinds, sizes and signs.
"""

from __future__ import annotations

import copy
import importlib
import json
import pkgutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tests.checker
from solvers.checker import check
from tests.checker.forging import BASES, honest

for _module in pkgutil.iter_modules(tests.checker.__path__):
    if _module.name.startswith("test_forged"):
        importlib.import_module(f"tests.checker.{_module.name}")

VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2, 10**6, 0.5, -0.25, 1e-300, 1e300, "", "kkt", [], [0], [[1.0]], {},
    {"claim": "feasible"},
)  # fmt: skip
WORK = 200_000


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values inside."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value[:4])
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def damaged(found: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at a place; a missing one for the value None of an object."""
    changed = copy.deepcopy(found)
    target = changed
    for step in path[:-1]:
        target = target[step]
    if value is None and isinstance(target, dict):
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return changed


@pytest.mark.thorough
@pytest.mark.parametrize("name", sorted(BASES))
def test_damage_is_reported(name: str) -> None:
    found = honest(name)
    rng = np.random.default_rng(0)
    for path in places(found):
        for k in rng.choice(len(VALUES), size=3, replace=False):
            text = json.dumps(damaged(found, path, VALUES[int(k)]))
            report = check(text, work_limit=WORK)
            assert report.valid or report.reason or any(c.reason for c in report.claims)
