"""The history of a search: few rows, the first and the last among them, bounds that never fall."""

from __future__ import annotations

from itertools import pairwise

import pytest

from solvers.history import MOST, History, Row


@pytest.mark.parametrize("count", [1, 2, 99, 100, 101, 200, 201, 1000, 12_345])
def test_long_histories_are_thinned(count: int) -> None:
    history = History(first=7)
    for k in range(count):
        history.add(7 + k, float(k), 1e6 - k)
    rows = history.ended(7 + count, float(count), 1e6 - count, unit=2.0)
    assert 2 <= len(rows) <= MOST
    assert rows[0] == Row(0, 0.0, 2e6)
    assert rows[-1] == Row(count, 2.0 * count, 2e6 - 2.0 * count)
    assert all(one.nodes < two.nodes for one, two in pairwise(rows))


def test_what_says_nothing_new_is_left_out() -> None:
    history = History()
    for k in range(10):
        history.add(k, 1.0, 3.0)
    assert history.ended(10, 2.0, 3.0, unit=1.0) == (Row(0, 1.0, 3.0), Row(10, 2.0, 3.0))


def test_no_row_claims_more_than_the_end_proves() -> None:
    history = History()
    for nodes, bound in enumerate((0.0, 2.0, 1.0, 5.0)):
        history.add(nodes, bound, 6.0)
    rows = history.ended(4, 4.0, 6.0, unit=1.0)
    assert [row.bound for row in rows] == [0.0, 2.0, 2.0, 4.0, 4.0]
