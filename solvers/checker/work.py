"""How much a check may cost, counted in multiplications."""

from .errors import Rejected

DEFAULT_LIMIT = 10_000_000_000
"""Multiplications of integers that one certificate may cost: a few minutes."""


class Work:
    """What is left; a check says what it is about to cost before it begins."""

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.limit = limit
        self.spent = 0

    def spend(self, multiplications: int) -> None:
        """Count work, and reject the certificate where the limit is passed."""
        self.spent += multiplications
        if self.spent > self.limit:
            raise Rejected("work limit", f"more than {self.limit} multiplications are needed")
