"""Objects of a certificate, field by field: every field is asked for, none is left over."""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from .document import nearest_double
from .errors import require


class Object:
    """A JSON object whose fields are taken one by one; :meth:`done` rejects unknown ones."""

    def __init__(self, value: Any, where: str) -> None:
        require(isinstance(value, dict), "object", f"{where} is no object")
        self.where = where
        self._left: dict[str, Any] = dict(value)

    def take(self, name: str) -> Any:
        """The field's value as it was read."""
        require(name in self._left, "missing field", f"{self.where} has no {name}")
        return self._left.pop(name)

    def has(self, name: str) -> bool:
        """Whether an optional field is there."""
        return name in self._left

    def done(self) -> None:
        """Reject what was not asked for."""
        require(not self._left, "unknown field", f"{self.where} has {sorted(self._left)[:3]}")

    def object(self, name: str) -> "Object":
        """An object."""
        return Object(self.take(name), f"{self.where}.{name}")

    def items(self, name: str, count: int | None = None) -> list[Any]:
        """A list, of ``count`` items where that is known."""
        return items(self.take(name), count, f"{self.where}.{name}")

    def objects(self, name: str, count: int | None = None) -> list["Object"]:
        """A list of objects."""
        found = self.items(name, count)
        return [Object(item, f"{self.where}.{name}[{k}]") for k, item in enumerate(found)]

    def text(self, name: str) -> str:
        """A string."""
        value = self.take(name)
        require(isinstance(value, str), "string", f"{self.where}.{name} is no string")
        return str(value)

    def flag(self, name: str) -> bool:
        """A boolean."""
        value = self.take(name)
        require(isinstance(value, bool), "boolean", f"{self.where}.{name} is no boolean")
        return bool(value)

    def integer(self, name: str, least: int, most: int | None = None) -> int:
        """An integer between two bounds, both included."""
        return integer(self.take(name), least, most, f"{self.where}.{name}")

    def integers(self, name: str, least: int, most: int, count: int | None = None) -> list[int]:
        """A list of integers."""
        where = f"{self.where}.{name}"
        return [integer(v, least, most, where) for v in items(self.take(name), count, where)]

    def number(self, name: str, least: Fraction | int | None = None) -> Fraction:
        """A number, not below ``least`` where that is given."""
        return number(self.take(name), f"{self.where}.{name}", least)

    def numbers(
        self, name: str, count: int | None = None, least: Fraction | int | None = None
    ) -> list[Fraction]:
        """A list of numbers."""
        return numbers(self.take(name), count, f"{self.where}.{name}", least)

    def matrix(
        self,
        name: str,
        rows: int | None,
        columns: int,
        least: Fraction | int | None = None,
    ) -> list[list[Fraction]]:
        """A list of rows of numbers."""
        where = f"{self.where}.{name}"
        return [numbers(row, columns, where, least) for row in items(self.take(name), rows, where)]


def items(value: Any, count: int | None, where: str) -> list[Any]:
    """A list, of ``count`` items where that is known."""
    require(isinstance(value, list), "list", f"{where} is no list")
    if count is not None:
        require(len(value) == count, "length", f"{where} has {len(value)} items, not {count}")
    return list(value)


def integer(value: Any, least: int, most: int | None, where: str) -> int:
    """An integer literal between two bounds; booleans are none."""
    require(type(value) is int, "integer", f"{where} is no integer")
    inside = value >= least and (most is None or value <= most)
    require(inside, "range", f"{where} is not between {least} and {most}")
    return int(value)


def number(value: Any, where: str, least: Fraction | int | None = None) -> Fraction:
    """A finite double as the fraction that it is; booleans and strings are none."""
    kind = type(value)
    if kind is int:
        value = nearest_double(f"{value}.0") if abs(value) > 2**53 else Fraction(value)
    require(kind is int or kind is Fraction, "number", f"{where} is no number")
    found: Fraction = value
    if least is not None:
        require(found >= least, "sign", f"{where} is below {least}")
    return found


def numbers(
    value: Any, count: int | None, where: str, least: Fraction | int | None = None
) -> list[Fraction]:
    """A list of numbers."""
    return [number(item, where, least) for item in items(value, count, where)]


def flat(value: Any, where: str, *, deep: int = 3) -> list[Fraction]:
    """The numbers of nested lists, in order."""
    if isinstance(value, list):
        require(deep > 0, "nesting", f"{where} is nested too deeply")
        return [v for item in value for v in flat(item, where, deep=deep - 1)]
    return [number(value, where)]


def listed(values: Sequence[int]) -> str:
    """A few numbers, for a message."""
    return ", ".join(map(str, values[:5])) + (", ..." if len(values) > 5 else "")
