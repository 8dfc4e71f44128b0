"""Whether parts of a space, each given by some known signs, cover all of it.

Every point has a sign 1 or -1 of every form (either where the form is 0), and lies in a part whose
known signs are among them. So the parts cover the space if every choice of signs agrees with one.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

from .work import Work

K = TypeVar("K", bound=Hashable)


def cover(parts: Sequence[Mapping[K, int]], work: Work) -> bool:
    """Whether every choice of signs agrees with one of the parts (keys: the forms known there)."""
    stack = [list(parts)]
    while stack:
        left = stack.pop()
        work.spend(1 + sum(1 + len(part) for part in left))
        if any(not part for part in left):
            continue
        if not left:
            return False
        counts = Counter(key for part in left for key in part)
        key = max(counts, key=counts.__getitem__)
        stack += [_side(left, key, sign) for sign in (1, -1)]
    return True


def _side(parts: Sequence[Mapping[K, int]], key: K, sign: int) -> list[Mapping[K, int]]:
    """The parts that meet one side of a form, without it."""
    return [
        {k: s for k, s in part.items() if k != key} if key in part else part
        for part in parts
        if part.get(key, sign) == sign
    ]
