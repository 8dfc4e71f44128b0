"""The two tables of the paper, reproduced cell by cell."""

from solvers.tables.cells import CELLS, Cell
from solvers.tables.report import as_markdown
from solvers.tables.reproduce import CellOutcome, reproduce
from solvers.tables.result import TablesResult

__all__ = ["CELLS", "Cell", "CellOutcome", "TablesResult", "as_markdown", "reproduce"]
