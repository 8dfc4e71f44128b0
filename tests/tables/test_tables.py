"""The two tables: every cell is there, counted as it should be, and comes out as the paper says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

from solvers.examples import EXAMPLES
from solvers.network import Network
from solvers.tables import CELLS, CellOutcome, TablesResult, as_markdown, reproduce
from solvers.tables.cells import Constructed, Sampled
from solvers.tables.instances import Draw, instance
from solvers.tables.reproduce import Shown
from solvers.tables.result import cut_short

PAPER = {
    1: {
        "fully connected": ("global", "not local"),
        "N_no-share": ("not local", "not local"),
        "N_no-share, non-zero weight vectors": ("global", "not local"),
        "N_no-share, non-zero inputs to all neurons": ("global", "local, not global"),
        "N, non-zero inputs to all neurons": ("not local", "not local"),
    },
    2: {
        "fully connected": ("global", "not local"),
        "N_no-share, non-zero inputs to all neurons": ("not local", "not local"),
        "N, each layer separately": ("global", "not local"),
        "N, each layer separately, non-zero inputs": ("global", "local, not global"),
    },
}
SAMPLED = [part for cell in CELLS for part in cell.shown_by if isinstance(part, Sampled)]
DRAWS = [draw for part in SAMPLED for draw in part.draws]


def test_the_cells_are_the_papers() -> None:
    found: dict[int, dict[str, Any]] = {1: {}, 2: {}}
    for cell in CELLS:
        found[cell.table].setdefault(cell.row, {})[cell.column] = cell.says
    words = {
        table: {row: (c["linear"], c["ReLU"]) for row, c in rows.items()}
        for table, rows in found.items()
    }
    assert words == PAPER


@pytest.mark.parametrize("cell", CELLS, ids=lambda c: f"{c.table}-{c.row}-{c.column}")
def test_positive_words_are_sampled_and_negative_ones_constructed(cell: Any) -> None:
    parts = cell.says.split(", ")
    kinds = [Constructed if word.startswith("not") else Sampled for word in parts]
    assert [type(part) for part in cell.shown_by] == kinds
    for part in cell.shown_by:
        if isinstance(part, Constructed):
            assert EXAMPLES[part.example].initial_parameters is not None


@pytest.mark.parametrize("draw", DRAWS)
def test_instances_are_separable_and_repeatable(draw: Draw) -> None:
    for seed in range(5):
        one, two = (instance(draw, np.random.default_rng(seed)) for _ in range(2))
        assert one.network == two.network
        assert np.array_equal(one.x, two.x)
        network = Network.from_dict(one.network)
        assert [p.shape for p in one.start] == [layer.shape for layer in network.layers]
        assert {-1.0, 1.0} == set(one.y)
        signed = one.y[:, None] * one.x
        zero, ones = np.zeros(signed.shape[1]), np.ones(len(signed))
        assert linprog(zero, -signed, -ones, bounds=(None, None)).status == 0


def outcome(place: int, *shown: Shown) -> CellOutcome:
    return CellOutcome(CELLS[place], shown)


def test_one_instance_that_is_not_certified_is_told() -> None:
    good = outcome(0, Shown("a", 25, 25, 0, 0, {"hypothesis": 3}))
    bad = [
        outcome(0, Shown("open", 25, 24, 0, 1)),
        outcome(0, Shown("wrong", 25, 24, 1, 0)),
        outcome(0, Shown("short of instances", 25, 24, 0, 0)),
        outcome(0, Shown("empty", 25, 0, 0, 0)),
        outcome(0, Shown("good", 25, 25, 0, 0), Shown("wrong", 1, 0, 1, 0)),
    ]
    assert good.as_the_paper_says
    assert not any(found.as_the_paper_says for found in bad)
    text = as_markdown([good, bad[1]], instances=25, seed=3)
    assert "25 of 25 certified" in text
    assert "24 of 25 certified, 1 contradicted **not reproduced**" in text
    assert "3 violate the row's hypothesis" in text


def test_the_answer_says_what_is_missing() -> None:
    cells = [CellOutcome(cell, (Shown("a", 25, 25, 0, 0, {"hypothesis": 3}),)) for cell in CELLS]
    full = TablesResult(cells, 25, 3, "mine", 1.5).to_dict()
    assert json.loads(json.dumps(full)) == full
    assert full["complete"] is full["as_the_paper_says"] is True
    assert full["summary"] == "18 of 18 cells came out as in the paper."
    assert full["cells"][0]["shown_by"][0]["redrawn"] == {"hypothesis": 3}
    assert full["id"] == TablesResult(cells, 25, 3, "mine", 2.0).to_dict()["id"]
    assert full["id"] != TablesResult(cells, 25, 4, "mine", 1.5).to_dict()["id"]
    part = cut_short(TablesResult(cells[:3], 25, 3).to_dict(), "no more time")
    assert part["complete"] is False
    assert part["as_the_paper_says"] is None
    assert part["summary"].endswith("15 were not reached: no more time.")
    wrong = CellOutcome(CELLS[3], (Shown("a", 25, 24, 1, 0),))
    assert TablesResult([*cells[:3], wrong], 25, 3).to_dict()["as_the_paper_says"] is False


@pytest.mark.slow
def test_every_cell_comes_out_as_the_paper_says() -> None:
    outcomes = list(reproduce(3, 1, jobs=2))
    assert [o.cell for o in outcomes] == list(CELLS)
    for found in outcomes:
        assert found.as_the_paper_says, (found.cell.table, found.cell.row, found.shown)
        for part, what in zip(found.shown, found.cell.shown_by, strict=True):
            assert part.certified == (3 if isinstance(what, Sampled) else 1)
