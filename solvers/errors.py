"""The exception tree of the library, drawn once.

::

    MargincertError
    ├── InputError                the request is nonsense; names the fields
    │   └── UnsupportedNetworkError   well-formed, but not a homogeneous network of class N
    ├── BudgetExceeded            a budget ran out; names which one
    ├── MissingExtraError         an optional package is not installed; names it and its extra
    └── ContradictionError        two proved numbers exclude each other: a bug, never an answer

Not deciding is a value (``unknown`` with its reason), never an exception.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Limit = Literal["time", "memory", "patterns", "nodes", "precision"]

MAX_FIELD_ERRORS = 20


class MargincertError(Exception):
    """Root of every exception that this library raises on purpose."""


@dataclass(frozen=True)
class FieldError:
    """One wrong field of a request.

    ``pointer`` is a JSON pointer (RFC 6901) into the request; ``message`` says what was found
    and what was expected, and never echoes more of the input than one scalar.
    """

    pointer: str
    message: str


class InputError(MargincertError):
    """The input is malformed; ``errors`` holds between 1 and 20 field errors."""

    def __init__(self, errors: Iterable[FieldError]) -> None:
        self.errors = tuple(errors)[:MAX_FIELD_ERRORS]
        super().__init__("; ".join(f"{e.pointer or '/'}: {e.message}" for e in self.errors))

    @classmethod
    def at(cls, pointer: str, message: str) -> InputError:
        """One error at one field."""
        return cls([FieldError(pointer, message)])


class UnsupportedNetworkError(InputError):
    """The network is well-formed but not homogeneous: certification does not apply to it."""


class BudgetExceeded(MargincertError):
    """A solver stopped because the budget named by ``limit`` ran out."""

    def __init__(self, limit: Limit, detail: str) -> None:
        self.limit: Limit = limit
        super().__init__(detail)


class MissingExtraError(MargincertError):
    """A file needs a package that is optional."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'margincert[{extra}]'")


class ContradictionError(MargincertError):
    """Two proved numbers contradict each other (a feasible point below a proved bound)."""
