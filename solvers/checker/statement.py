"""What is claimed, about which problem and which point: the part that the requester can compare.

All numbers of a statement are in the units of the request. Two statements are the same problem if
their networks have the same index maps and their data the same doubles, however they are written.
"""

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .errors import require
from .exact import Matrix
from .fields import Object, flat, integer, items, numbers
from .network import Network, Theta, read_network


@dataclass(frozen=True)
class Problem:
    """A network and labelled data: inputs (n rows, with the constant feature), labels 1 and -1."""

    network: Network
    x: Matrix
    y: tuple[int, ...]

    @property
    def examples(self) -> int:
        """Number of examples, n."""
        return len(self.y)


@dataclass(frozen=True)
class Statement:
    """A problem, a point (one vector a layer), the verdict's tolerances, and claims about it."""

    problem: Problem
    point: Theta
    gap: Fraction
    resolution: Fraction
    claims: tuple[Any, ...]


def read_statement(value: Any) -> Statement:
    """The statement of a certificate."""
    fields = Object(value, "statement")
    problem = read_problem(fields.object("problem"))
    parts = fields.items("point", problem.network.depth)
    values = [flat(part, f"statement.point[{k}]") for k, part in enumerate(parts)]
    tolerances = fields.object("tolerances")
    gap, resolution = tolerances.number("gap"), tolerances.number("resolution")
    tolerances.done()
    for name, tolerance in (("gap", gap), ("resolution", resolution)):
        require(0 < tolerance < 1, "tolerance", f"{name} is not between 0 and 1")
    claims = fields.items("claims")
    fields.done()
    require(bool(claims), "claims", "nothing is claimed")
    point = problem.network.theta(values, "statement.point")
    return Statement(problem, point, gap, resolution, tuple(claims))


def read_problem(fields: Object) -> Problem:
    """A network and a data set."""
    network = read_network(fields.object("network"))
    dataset = fields.object("dataset")
    fields.done()
    labels = dataset.items("y")
    rows = dataset.items("x", len(labels))
    dataset.done()
    require(bool(labels), "examples", "there are none")
    width = network.layers[0].inputs - network.bias
    constant = [Fraction(1)] if network.bias else []
    x = [numbers(items(row, width, "dataset.x"), width, "dataset.x") + constant for row in rows]
    y = tuple(_label(label) for label in labels)
    return Problem(network, Matrix.of(x, width + network.bias), y)


def _meaning(problem: Problem) -> Any:
    """What two writings of the same problem have in common."""
    network = problem.network
    maps = [[(tuple(ks), tuple(js)) for ks, js in layer.pairs] for layer in network.layers]
    return network.relu, network.bias, maps, problem.x, problem.y


def _label(value: Any) -> int:
    if isinstance(value, Fraction) and value.denominator == 1:
        value = int(value)
    label = integer(value, -1, 1, "dataset.y")
    require(label != 0, "label", "dataset.y holds 0")
    return label


def canonical(value: Any) -> str:
    """Sorted keys, no spaces; integers as such, other numbers as the shortest literal."""
    if isinstance(value, dict):
        parts = (f"{canonical(str(k))}:{canonical(v)}" for k, v in sorted(value.items()))
        return "{" + ",".join(parts) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(_escaped(c) for c in value) + '"'
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Fraction) and (value.denominator > 1 or abs(value) >= 2**53):
        return repr(float(value))
    return str(int(value))


def _escaped(character: str) -> str:
    plain = " " <= character <= "~" and character not in '"\\'
    if plain:
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    codes = [units[k : k + 2].hex() for k in range(0, len(units), 2)]
    return "".join(f"\\u{code}" for code in codes)


def digest(value: Any) -> str:
    """The SHA-256 of a statement's canonical text."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


def compare(own: Any, wanted: Any) -> None:
    """Reject a statement that is not the requester's in a part that the requester names."""
    asked, given = Object(wanted, "the requester's statement"), Object(own, "statement")
    require(asked.has("problem"), "requested statement", "it names no problem")
    for name in ("problem", "point", "tolerances", "claims"):
        if not asked.has(name):
            continue
        left, right = asked.take(name), given.take(name)
        same = canonical(left) == canonical(right)
        if not same and name == "problem":
            same = _meaning(read_problem(Object(left, name))) == _meaning(
                read_problem(Object(right, name))
            )
        require(same, "requested statement", f"{name} is not what was asked about")
    asked.done()
