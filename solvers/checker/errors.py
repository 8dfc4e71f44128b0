"""Why a certificate, or one of its claims, is rejected."""


class Rejected(Exception):
    """A condition does not hold; ``condition`` names it in one or a few fixed words."""

    def __init__(self, condition: str, detail: str) -> None:
        super().__init__(f"{condition}: {detail}")
        self.condition = condition
        self.detail = detail


def require(holds: bool, condition: str, detail: str) -> None:
    """Raise :class:`Rejected` unless the condition ``holds``."""
    if not holds:
        raise Rejected(condition, detail)
