"""The weighted margin of any net: weights, and what bounds the first layer."""

from __future__ import annotations

from fractions import Fraction
from itertools import groupby

import numpy as np

from solvers.certificate import GlobalLowerBound, NeuronLeaf
from solvers.evidence.supports import weights
from solvers.evidence.trees import neuron_tree
from solvers.evidence.units import Json
from solvers.optimality.weighted_margin import is_small, spread_factor
from solvers.problem import Problem

_ROOM = 2.0**-50
_NOTHING = 2.0**-30
"""What a neuron that earns nothing is said to earn, relative to the others."""


def weighted_margin(claim: GlobalLowerBound, problem: Problem) -> Json | None:
    """Weights by example; ``neurons`` where single neurons were bounded, else ``first``."""
    found: Json = {"alpha": weights(claim.alpha)}
    if claim.leaves:
        return _with_neurons(found, claim)
    layer = problem.network.layers[0]
    if layer.shares and is_small(layer):
        found["first"] = _first(claim, problem)
    return found


def _with_neurons(found: Json, claim: GlobalLowerBound) -> Json | None:
    """For each kind of neuron and output sign: a scale at which it earns at most 1."""
    proofs = []
    groups = groupby(claim.leaves, key=lambda leaf: (leaf.neuron, leaf.output_sign))
    least = _NOTHING * max(claim.earned)
    for earned, (_, group) in zip(claim.earned, groups, strict=True):
        scale = (1.0 - _ROOM) / max(earned, least)
        leaves = [
            NeuronLeaf(leaf.neuron, leaf.output_sign, leaf.signs, leaf.slopes, scale * leaf.beta)
            for leaf in group
        ]
        tree = neuron_tree(leaves)
        if tree is None:
            return None
        proofs.append({"scale": scale, "tree": tree})
    return {**found, "neurons": proofs}


def _first(claim: GlobalLowerBound, problem: Problem) -> float:
    """The largest ||W_1(u) a||^2 (||u|| = 1) with which the bound still is what is claimed."""
    depth = problem.network.depth
    above = 1
    for layer in problem.network.layers[1:]:
        above *= round(spread_factor(layer) ** 2)
    total = sum(map(Fraction, claim.alpha.tolist()), Fraction(0))
    exact = total**2 / (above * (2 * Fraction(claim.value) / depth) ** depth)
    return float(np.nextafter(float(exact), 0.0))
