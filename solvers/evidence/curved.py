"""The curvature bound's cells, as the certificate writes them."""

from __future__ import annotations

from solvers.certificate import CellBound, LocalLowerBound
from solvers.evidence.units import Json, counted
from solvers.problem import Problem


def curved_cells(claim: LocalLowerBound, problem: Problem) -> Json:
    """Open places, signs that no parameters have, and every cell's multipliers."""
    del problem
    return {
        "open": [counted(place) for place in claim.places],
        "empty": [[[k + 1, sign] for k, sign in support] for support in claim.empty],
        "cells": [_cell(cell) for cell in claim.cells],
    }


def _cell(cell: CellBound) -> Json:
    weights = zip(cell.constraints, cell.weights, cell.sigma, strict=True)
    return {
        "signs": [int(sign) for sign in cell.signs],
        "weights": [[int(k) + 1, float(weight), float(sigma)] for k, weight, sigma in weights],
        "pairs": [[a + 1, b + 1, value] for a, b, value in cell.pairs],
        "rotation": cell.rotation,
    }
