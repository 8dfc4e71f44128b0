"""The two tables of the paper, reproduced cell by cell."""

from solvers.tables.cells import CELLS, Cell
from solvers.tables.report import as_json, as_markdown
from solvers.tables.reproduce import CellOutcome, reproduce

__all__ = ["CELLS", "Cell", "CellOutcome", "as_json", "as_markdown", "reproduce"]
