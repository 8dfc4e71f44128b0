"""What is known about one neuron at a node of the tree: a few signs, and its output sign."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Signs = NDArray[np.int8]

_SIGNS = {"-": -1, "m": -1, "0": 0, "p": 1, "+": 1}


@dataclass(frozen=True)
class Region:
    """A closed cone of (w_j, v_j): the group's number, known signs and possible output signs.

    ``known`` holds n characters, one an example: ``0`` where the sign of <w, x_i> is open, ``+``
    and ``-`` on the two sides of a cut, ``p`` and ``m`` where the sign cannot change near the
    point that is asked about (a bound needs no multiplier for those).
    """

    group: int
    known: str
    outputs: tuple[float, ...]

    @classmethod
    def near(cls, group: int, signs: Signs, outputs: tuple[float, ...]) -> Region:
        """The region of signs in {-1, 0, 1} that hold near a point."""
        return cls(group, "".join("m0p"[int(s) + 1] for s in signs), outputs)

    @classmethod
    def everywhere(cls, group: int, examples: int) -> Region:
        """The whole space: nothing is known."""
        return cls(group, "0" * examples, (1.0, -1.0))

    @cached_property
    def signs(self) -> Signs:
        """Known signs (n), in {-1, 0, 1}."""
        return np.array([_SIGNS[c] for c in self.known], dtype=np.int8)

    def activations(self, z: NDArray[np.float64]) -> NDArray[np.float64]:
        """sigma(z) (n), linear where the sign cannot change near the point."""
        fixed = np.array([{"p": 1.0, "m": 0.0}.get(c, np.nan) for c in self.known])
        return np.where(np.isnan(fixed), np.maximum(z, 0.0), fixed * z)

    @cached_property
    def cuts(self) -> NDArray[np.int64]:
        """The examples whose sign is known by a cut."""
        return np.array([i for i, c in enumerate(self.known) if c in "+-"], dtype=np.int64)

    def with_sign(self, example: int, sign: int) -> Region:
        """The part on one side of an example's hyperplane."""
        known = self.known[:example] + "-0+"[sign + 1] + self.known[example + 1 :]
        return replace(self, known=known)

    def with_output(self, sign: float) -> Region:
        """The part with one output sign."""
        return replace(self, outputs=(sign,))


Node = tuple[Region, ...]
"""One region a neuron."""


def canonical(node: Node) -> Node:
    """The node up to a permutation of its neurons: equal for equivalent nodes."""
    return tuple(sorted(node, key=lambda r: (r.group, r.known, r.outputs)))


def members(node: Node) -> dict[Region, list[int]]:
    """The distinct regions, each with the neurons that have it."""
    found: dict[Region, list[int]] = {}
    for j, region in enumerate(node):
        found.setdefault(region, []).append(j)
    return found
