"""Depth 2 with shared weights: a tree of regions, one region for every filter.

A node gives each filter a region (see :mod:`..forms`); the root knows nothing. The tree is a list
in preorder. A node either

* splits the region of one filter: by the sign of a plane into + and -, or by a hyperplane into
  <cut, (w, v)> >= 0 and <= 0. In a linear net (w, v) -> -(w, v) of one filter changes neither the
  margins nor the objective, so the first cut of a filter has one part only; or
* carries weights alpha >= 0 and, for each of its distinct regions, what proves
  sum_i alpha_i q_i <= 1/2 ||(w, v)||^2 (1 + excess) for the filter's share: then every feasible
  point of the node has 1/2 ||theta||^2 (1 + the largest excess) >= sum_i alpha_i.

Nodes that differ by a permutation of filters of one kind have the same points up to a symmetry. One
that was met before is not listed again.
"""

from fractions import Fraction

from ..case import Case
from ..errors import require
from ..fields import Object
from ..filters import filters_of
from ..forms import Forms, Region

Node = tuple[Region, ...]


def filter_tree(case: Case, evidence: Object) -> Fraction:
    """The bound of a tree of regions."""
    tree = _Tree(case)
    for item in evidence.objects("tree"):
        tree.visit(item)
        item.done()
    tree.skip_known()
    require(not tree.stack, "cover", f"{len(tree.stack)} parts of the tree are left out")
    return min(tree.bounds)


class _Tree:
    """A walk through the tree: parts still to come, nodes met, bounds of the leaves."""

    def __init__(self, case: Case) -> None:
        self.case, self.filters = case, filters_of(case)
        self.stack: list[Node] = [
            tuple(Region(part.kind, (0,) * len(part.planes)) for part in self.filters)
        ]
        self.met: set[Node] = set()
        self.bounds: list[Fraction] = []
        self.known: dict[Region, Forms] = {}

    def skip_known(self) -> None:
        """Drop parts that were met before."""
        while self.stack and _sorted(self.stack[-1]) in self.met:
            self.stack.pop()

    def visit(self, item: Object) -> None:
        """The next node."""
        self.skip_known()
        require(bool(self.stack), "cover", f"{item.where} is beyond the end of the tree")
        node = self.stack.pop()
        self.met.add(_sorted(node))
        self.case.work.spend(sum(len(region.signs) for region in node))
        if item.has("alpha"):
            self.bounds.append(self._bound(node, item))
            return
        place = item.integer("filter", 1, len(node)) - 1
        parts = self._parts(node[place], place, item)
        self.stack += [(*node[:place], part, *node[place + 1 :]) for part in reversed(parts)]

    def _parts(self, region: Region, place: int, item: Object) -> list[Region]:
        part, relu = self.filters[place], self.case.network.relu
        if item.has("plane"):
            plane = item.integer("plane", 1, len(part.planes)) - 1
            fresh = relu and region.signs[plane] == 0
            require(fresh, "split", f"{item.where}: the sign of plane {plane + 1} is not open")
            return [region.with_sign(plane, sign) for sign in (1, -1)]
        cut = tuple(item.numbers("cut", part.weights + part.outputs))
        sides = [region.with_cut(cut), region.with_cut(tuple(-value for value in cut))]
        return sides if relu or region.cuts else sides[:1]

    def _bound(self, node: Node, item: Object) -> Fraction:
        alpha = item.numbers("alpha", self.case.problem.examples, 0)
        regions = list(dict.fromkeys(node))
        proofs = item.objects("regions", len(regions))
        pairs = zip(regions, proofs, strict=True)
        excess = [self._forms(r).excess(alpha, proof, self.case.work) for r, proof in pairs]
        return sum(alpha, Fraction(0)) / (1 + max(excess))

    def _forms(self, region: Region) -> Forms:
        if region not in self.known:
            part = next(part for part in self.filters if part.kind == region.kind)
            self.known[region] = Forms(part, region, self.case.work, relu=self.case.network.relu)
        return self.known[region]


def _sorted(node: Node) -> Node:
    """The node up to a permutation of filters of one kind."""
    return tuple(sorted(node, key=lambda region: (region.kind, region.signs, region.cuts)))
