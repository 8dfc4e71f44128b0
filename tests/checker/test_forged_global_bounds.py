"""Forged evidence for bounds of diagonal, shared and other nets, and pairs at their boundary."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from solvers.certificate import GlobalLowerBound
from solvers.optimality.global_bounds import quadratic_form
from solvers.optimality.shared_tree import shared_tree
from solvers.optimality.support_tree import support_tree
from solvers.optimality.weighted_margin import weighted_margin
from tests.checker.forging import (
    BASES,
    Forgery,
    Json,
    above,
    assert_caught,
    checked,
    evidence,
    honest,
    names,
    stated,
)
from tests.checker.nets import ANY, DEEP, LINEAR, RELU
from tests.checker.single import any_case, by_neurons, claimed, proved
from tests.core.tools import Spec, dense, diagonal

CLAIM = "global_lower_bound"
Change = Callable[[Json], Any]
"""Tampers with the evidence of the bound."""


def base(method: Callable[..., Any], spec: Spec, seed: int, examples: int) -> Json:
    """The certificate of a method's bound on a random instance."""
    case = any_case(spec, seed, examples)
    arguments = (case, []) if method in (support_tree, shared_tree) else (case,)
    (bound,) = method(*arguments)
    return claimed(case, bound.claim)


def base_by_neurons(spec: Spec, seed: int) -> Json:
    case = any_case(spec, seed, 3)
    return claimed(case, by_neurons(case, np.random.default_rng(seed)))


def base_by_pair(spec: Spec) -> Json:
    """A deep dense net and its first and third example, which have opposite labels."""
    for seed in range(100):
        problem = (case := any_case(spec, seed, 3)).point.problem
        if problem.y[0] == problem.y[1] != problem.y[2]:
            break
    depth, apart = problem.network.depth, np.linalg.norm(problem.x[0] - problem.x[2])
    value = depth / 2.0 * (2.0 / float(apart)) ** (2.0 / depth) * (1.0 - 1e-14)
    alpha = np.array([1.0, 0.0, 1.0])
    return claimed(case, GlobalLowerBound(value, "weighted-margin", alpha))


OWN: dict[str, Callable[[], Json]] = {
    "boxes": lambda: base(support_tree, diagonal(2, 3, "linear"), 0, 2),
    "one-box": lambda: base(support_tree, diagonal(2, 3, "linear"), 1, 2),
    "paired-boxes": lambda: base(support_tree, diagonal(2, 3), 3, 2),
    "one-filter": lambda: base(shared_tree, RELU[0], 0, 3),
    "cut-filter": lambda: base(shared_tree, RELU[0], 0, 2),
    "two-filters": lambda: base(shared_tree, RELU[3], 2, 4),
    "linear-filter": lambda: base(shared_tree, LINEAR[1], 1, 3),
    "singular-values": lambda: base(quadratic_form, LINEAR[2], 0, 3),
    "first-layer": lambda: base(weighted_margin, {**DEEP, "activation": "linear"}, 0, 2),
    "linear-margin": lambda: base(weighted_margin, diagonal(3, 4, "linear"), 0, 2),
    "near-pair": lambda: base_by_pair(dense(2, 3, 2, 2, 1)),
    "neurons": lambda: base_by_neurons(ANY[0], 1),
    "shared-neurons": lambda: base_by_neurons(ANY[5], 1),
}
BASES |= OWN
NAMES = sorted(OWN)


def leaves(found: Json) -> list[Json]:
    """The leaves of a tree of boxes or regions."""
    return [node for node in found["tree"] if "alpha" in node]


def splits(found: Json) -> list[Json]:
    return [node for node in found["tree"] if "alpha" not in node]


def setting(place: Callable[[Json], Json], **values: Any) -> Change:
    """Put values into a part of the evidence."""
    return lambda found: place(found).update(values)


def scaling(place: Callable[[Json], Json], name: str, factor: float) -> Change:
    """Multiply a number in a part of the evidence."""

    def change(found: Json) -> None:
        place(found)[name] *= factor

    return change


def whole(found: Json) -> Json:
    return found


def first_leaf(found: Json) -> Json:
    return leaves(found)[0]


def first_region(found: Json) -> Json:
    proof: Json = first_leaf(found)["regions"][0]
    return proof


def first_neuron(found: Json) -> Json:
    proof: Json = found["neurons"][0]
    return proof


def scaled_weights(factor: float) -> Change:
    """All pairs [example, weight] of the first leaf, or of the evidence."""

    def change(found: Json) -> None:
        holder = first_leaf(found) if "tree" in found else found
        holder["alpha"] = [[i, factor * a] for i, a in holder["alpha"]]

    return change


def scaled_alpha(factor: float) -> Change:
    """All weights of every leaf, or of the evidence, where every example has one."""

    def change(found: Json) -> None:
        for holder in leaves(found) if "tree" in found else [found]:
            holder["alpha"] = [factor * a for a in holder["alpha"]]

    return change


def sides_of_a_linear_net(found: Json) -> None:
    found["tree"] = [{"input": 1}, first_leaf(found), first_leaf(found)]


def dropped_leaf(found: Json) -> None:
    found["tree"].pop()


def repeated_leaf(found: Json) -> None:
    found["tree"].append(found["tree"][-1])


def reversed_order(found: Json) -> None:
    first_leaf(found)["alpha"].reverse()


def unlike_weights(found: Json) -> None:
    found["alpha"][0][1] *= 0.5


def swapped_examples(found: Json) -> None:
    for leaf in leaves(found):
        leaf["alpha"] = [[3 - i, a] for i, a in leaf["alpha"]][::-1]


def swapped_alpha(found: Json) -> None:
    """The last two examples of three."""
    for holder in leaves(found) if "tree" in found else [found]:
        first, second, third = holder["alpha"]
        holder["alpha"] = [first, third, second]


def neuron_leaf_dropped(found: Json) -> None:
    longest = max(found["neurons"], key=lambda proof: len(proof["tree"]))
    longest["tree"].pop()


def pair(weight: float, k: int = 1, m: int = 2) -> Change:
    """A product of two forms with a weight."""
    return lambda found: first_region(found)["pairs"].append([k, m, weight])


SUPPORTS = [
    ("a leaf is left out", "boxes", "cover", dropped_leaf),
    ("a leaf too many", "boxes", "cover", repeated_leaf),
    ("a leaf of a pair is left out", "paired-boxes", "cover", dropped_leaf),
    ("negative weight", "boxes", "sign", scaled_weights(-1.0)),
    ("smaller weights", "one-box", "bound", scaled_weights(0.999)),
    ("larger weights", "one-box", "bound", scaled_weights(1.2)),
    ("examples out of order", "boxes", "order", reversed_order),
    ("swapped examples", "boxes", "bound", swapped_examples),
    ("example beyond the data", "one-box", "range", setting(first_leaf, alpha=[[3, 1.0]])),
    ("boolean weight", "one-box", "number", setting(first_leaf, alpha=[[1, True]])),
    ("half the reach", "one-box", "bound", scaling(whole, "reach", 0.5)),
    ("negative reach", "one-box", "sign", scaling(whole, "reach", -1.0)),
    ("split elsewhere", "boxes", "bound", lambda e: splits(e)[1].update(at=0.3)),
    ("split outside", "boxes", "split", lambda e: splits(e)[1].update(at=-3.0)),
    ("split at the end", "boxes", "split", lambda e: splits(e)[1].update(at=splits(e)[0]["at"])),
    ("another feature", "boxes", "range", lambda e: splits(e)[0].update(feature=3)),
    ("feature 0", "boxes", "range", lambda e: splits(e)[0].update(feature=0)),
    ("sides of a linear net", "one-box", "split", sides_of_a_linear_net),
    ("unknown field", "boxes", "unknown field", setting(first_leaf, trusted=True)),
    ("no tree", "boxes", "cover", setting(whole, tree=[])),
    ("another net's rule", "boxes", "kind of network", setting(whole, rule="psd-dual")),
    (
        "a shared net",
        "one-filter",
        "kind of network",
        setting(whole, rule="support-tree", reach=1.0),
    ),
]

FILTERS = [
    ("a leaf is left out", "one-filter", "cover", dropped_leaf),
    ("a leaf too many", "one-filter", "cover", repeated_leaf),
    ("a leaf of two filters is left out", "two-filters", "cover", dropped_leaf),
    ("a permuted part listed again", "two-filters", "cover", repeated_leaf),
    ("one side of a cut is left out", "cut-filter", "cover", dropped_leaf),
    ("mirror image of a second cut", "linear-filter", "cover", dropped_leaf),
    ("negative weight", "one-filter", "sign", scaled_alpha(-1.0)),
    ("smaller weights", "one-filter", "bound", scaled_alpha(0.999)),
    ("larger weights", "one-filter", "positive semidefinite", scaled_alpha(1.001)),
    ("larger weights, linear", "linear-filter", "positive semidefinite", scaled_alpha(1.001)),
    ("swapped examples", "linear-filter", "positive semidefinite", swapped_alpha),
    ("no deficit", "one-filter", "positive semidefinite", setting(first_region, deficit=0.0)),
    ("larger deficit", "one-filter", "bound", setting(first_region, deficit=0.1)),
    ("negative deficit", "one-filter", "sign", setting(first_region, deficit=-1e-9)),
    ("negative product", "one-filter", "sign", pair(-1e-3)),
    ("another product", "one-filter", "positive semidefinite", pair(1.0)),
    ("form beyond the region's", "one-filter", "range", pair(1e-3, 1, 12)),
    ("products left out", "one-filter", "positive semidefinite", setting(first_region, pairs=[])),
    ("zero left out", "one-filter", "length", lambda e: first_region(e)["equations"].pop()),
    (
        "other zeros",
        "one-filter",
        "positive semidefinite",
        setting(first_region, equations=[9.0] * 5),
    ),
    ("a proof left out", "two-filters", "length", lambda e: leaves(e)[1]["regions"].pop()),
    ("split of a known sign", "two-filters", "split", lambda e: splits(e)[1].update(filter=1)),
    ("plane of a linear net", "linear-filter", "split", lambda e: e["tree"][0].update(plane=1)),
    ("plane beyond the patches", "one-filter", "range", lambda e: e["tree"][0].update(plane=7)),
    ("filter beyond the net's", "one-filter", "range", lambda e: e["tree"][0].update(filter=2)),
    ("cut of another length", "cut-filter", "length", lambda e: e["tree"][2]["cut"].pop()),
    ("unknown field of a region", "one-filter", "unknown field", setting(first_region, skip=1)),
    ("unknown field of a node", "one-filter", "unknown field", setting(first_leaf, skip=1)),
    ("a deeper net", "boxes", "kind of network", setting(whole, rule="filter-tree")),
]

MARGINS = [
    ("negative weight", "singular-values", "sign", scaled_alpha(-1.0)),
    ("larger weights", "singular-values", "positive semidefinite", scaled_alpha(1.0 + 1e-12)),
    ("smaller weights", "singular-values", "bound", scaled_alpha(1.0 - 1e-12)),
    ("swapped examples", "singular-values", "positive semidefinite", swapped_alpha),
    ("fewer weights", "singular-values", "length", lambda e: e["alpha"].pop()),
    ("ReLU net", "one-filter", "kind of network", setting(whole, rule="psd-dual")),
    ("negative weight of a margin", "linear-margin", "sign", scaled_weights(-1.0)),
    ("no weights", "linear-margin", "weights", setting(whole, alpha=[])),
    (
        "first layer too small",
        "first-layer",
        "positive semidefinite",
        scaling(whole, "first", 0.999),
    ),
    ("first layer too large", "first-layer", "bound", scaling(whole, "first", 1.0 + 1e-11)),
    ("negative first layer", "first-layer", "sign", scaling(whole, "first", -1.0)),
    ("first layer unproved", "first-layer", "bound", lambda e: e.pop("first")),
    ("weights of a pair differ", "near-pair", "weights", unlike_weights),
    (
        "three examples",
        "near-pair",
        "weights",
        setting(whole, alpha=[[1, 1.0], [2, 1.0], [3, 1.0]]),
    ),
    ("one label twice", "near-pair", "weights", setting(whole, alpha=[[1, 1.0], [2, 1.0]])),
    ("single example", "near-pair", "bound", setting(whole, alpha=[[1, 1.0]])),
    ("scale too large", "neurons", "dual norm", scaling(first_neuron, "scale", 1.01)),
    ("scale too small", "neurons", "bound", scaling(first_neuron, "scale", 0.99)),
    ("scale zero", "neurons", "scale", setting(first_neuron, scale=0.0)),
    ("negative scale", "neurons", "sign", scaling(first_neuron, "scale", -1.0)),
    ("kind of neuron left out", "shared-neurons", "neurons", lambda e: e["neurons"].pop()),
    ("proof too many", "neurons", "neurons", lambda e: e["neurons"].append(e["neurons"][0])),
    ("part of a neuron left out", "neurons", "cover", neuron_leaf_dropped),
    ("unknown field of a neuron", "neurons", "unknown field", setting(first_neuron, skip=1)),
    ("sizes instead of neurons", "neurons", "weights", lambda e: e.pop("neurons")),
    ("first without need", "neurons", "unknown field", setting(whole, first=1.0)),
]


def forgeries() -> list[Forgery]:
    """The table as tamperings with certificates."""
    found = []
    for name, of, condition, change in [*SUPPORTS, *FILTERS, *MARGINS]:

        def tamper(document: Json, change: Change = change) -> None:
            change(evidence(document, CLAIM))

        found.append(Forgery(f"{of}: {name}", of, CLAIM, condition, tamper))
    return found


FORGERIES = forgeries()


@pytest.mark.parametrize("forgery", FORGERIES, ids=names(FORGERIES))
def test_forgeries_are_caught(forgery: Forgery) -> None:
    assert_caught(forgery, honest(forgery.base))


@pytest.mark.parametrize("name", NAMES)
def test_a_bound_raised_by_a_trillionth_is_caught(name: str) -> None:
    def tamper(document: Json) -> None:
        stated(document, CLAIM)["value"] = above(stated(document, CLAIM)["value"])

    assert checked(honest(name)).valid
    assert_caught(Forgery("raised", name, CLAIM, "bound", tamper), honest(name))


@pytest.mark.parametrize("name", NAMES)
def test_the_least_double_above_what_is_proved_is_rejected(name: str) -> None:
    found = honest(name)
    rule = evidence(found, CLAIM)
    bound = proved(found["unit"], found, rule) / Fraction(4) ** found["unit"]
    value = float(bound)
    below = value if Fraction(value) <= bound else math.nextafter(value, 0.0)
    for claim, valid in ((below, True), (math.nextafter(below, math.inf), False)):
        changed = json.loads(json.dumps(found))
        stated(changed, CLAIM)["value"] = claim
        assert checked(changed).valid is valid
