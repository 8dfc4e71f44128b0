"""Which results of the paper speak about a point, and what they say.

Source: Vardi, Shamir, Srebro, On Margin Maximization in Linear and ReLU Networks (NeurIPS 2022).

A *positive* result applies when the network is in its class and the point meets its hypotheses; it
then implies a kind of optimality. A *negative* one applies when the network is in the class for
which the paper constructs KKT points that are not optimal; it implies nothing about this point.
The constructions have free data, so they do not transfer to nets whose input has a constant
feature (a first-layer bias): there negative results do not apply. Positive ones do, as such a net
is a net of class N on the data with the feature.

The notes are theory, not evidence. They speak of exact KKT points, whereas ``kkt`` is an answer
within a tolerance; no verdict is derived from them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from solvers.findings import Answer
from solvers.network import Network

Implication = Literal["global", "local", "layers_global", "layers_local"]


@dataclass(frozen=True)
class TheoremNote:
    """One result: whether its hypotheses hold here, and what it then says in one sentence.

    ``implies`` is the optimality it would give an exact KKT point; None for negative results and
    wherever the result does not apply.
    """

    name: str
    applies: bool
    says: str
    implies: Implication | None = None


@dataclass(frozen=True)
class _Facts:
    """What the hypotheses ask about: the network's class and the point."""

    network: Network
    kkt: bool
    zero_neurons: bool
    kinks: bool

    @property
    def depth(self) -> int:
        return self.network.depth

    @property
    def linear(self) -> bool:
        return self.network.is_linear

    @property
    def no_share(self) -> bool:
        return not self.network.shares

    @property
    def plain(self) -> bool:
        """Inputs are free: no constant feature."""
        return not self.network.bias

    def planar_relu(self, width: int) -> bool:
        """Fully connected ReLU of depth 2, at least 2 inputs and ``width`` hidden neurons.

        Constructions with fewer inputs or neurons are embedded by zero inputs and by neurons that
        are zero or split in two.
        """
        return (
            self.plain
            and not self.linear
            and self.depth == 2
            and self.network.is_fully_connected
            and self.network.layers[0].inputs >= 2
            and self.network.layers[0].outputs >= width
        )

    @property
    def plain_diagonal(self) -> bool:
        """Diagonal on at least two coordinates."""
        return self.plain and self.network.is_diagonal and self.network.layers[0].inputs >= 2


def theorems_that_apply(
    network: Network, *, kkt: Answer, zero_neurons: bool, kinks: bool
) -> tuple[TheoremNote, ...]:
    """One note for every result of the paper, in its order.

    ``kkt`` is the answer to the KKT question; ``zero_neurons``: some hidden neuron's incoming
    weights vanish; ``kinks``: some hidden neuron's input is zero on some example, both within the
    kink tolerance.
    """
    facts = _Facts(network, kkt is Answer.YES, zero_neurons, kinks)
    return (
        _theorem_3_1(facts),
        _theorem_3_2(facts),
        _theorem_4_1(facts),
        _theorem_4_2_part_1(facts),
        _theorem_4_2_part_2(facts),
        _theorem_4_3(facts),
        _lemma_c_6(facts),
        _theorem_4_4(facts),
        _theorem_5_1(facts),
        _theorem_5_2(facts),
        _theorem_5_3(facts),
        _theorem_5_4(facts),
        _theorem_6_1(),
    )


def _positive(name: str, applies: bool, says: str, implies: Implication) -> TheoremNote:
    return TheoremNote(name, applies, says, implies if applies else None)


def _theorem_3_1(facts: _Facts) -> TheoremNote:
    applies = facts.kkt and facts.linear and facts.network.is_fully_connected and facts.depth >= 2
    says = "A KKT point of a fully connected linear network of any depth is a global optimum."
    return _positive("Theorem 3.1", applies, says, "global")


def _theorem_3_2(facts: _Facts) -> TheoremNote:
    says = (
        "Being a KKT point of a fully connected depth-2 ReLU network does not guarantee local "
        "optimality: a neuron may be dead."
    )
    return TheoremNote("Theorem 3.2", facts.planar_relu(2), says)


def _theorem_4_1(facts: _Facts) -> TheoremNote:
    says = (
        "Being a KKT point of a depth-2 diagonal network, linear or ReLU, does not guarantee local "
        "optimality: a coordinate may have zero weights."
    )
    return TheoremNote("Theorem 4.1", facts.plain_diagonal and facts.depth == 2, says)


def _theorem_4_2_part_1(facts: _Facts) -> TheoremNote:
    applies = (
        facts.kkt
        and facts.linear
        and facts.no_share
        and facts.depth == 2
        and not facts.zero_neurons
    )
    says = (
        "A KKT point of a depth-2 linear network without shared weights, all hidden neurons having "
        "non-zero incoming weights, is a global optimum."
    )
    return _positive("Theorem 4.2 part 1", applies, says, "global")


def _theorem_4_2_part_2(facts: _Facts) -> TheoremNote:
    says = (
        "Non-zero incoming weights at all hidden neurons do not guarantee that a KKT point of a "
        "fully connected depth-2 ReLU network is a local optimum: inputs to neurons may be zero."
    )
    applies = facts.planar_relu(4) and not facts.zero_neurons
    return TheoremNote("Theorem 4.2 part 2", applies, says)


def _theorem_4_3(facts: _Facts) -> TheoremNote:
    applies = (
        facts.kkt and not facts.linear and facts.no_share and facts.depth == 2 and not facts.kinks
    )
    says = (
        "A KKT point of a depth-2 ReLU network without shared weights, the inputs to all hidden "
        "neurons being non-zero, is a local optimum; it may not be a global one."
    )
    return _positive("Theorem 4.3", applies, says, "local")


def _lemma_c_6(facts: _Facts) -> TheoremNote:
    says = (
        "Non-zero inputs to all hidden neurons do not guarantee that a KKT point of a fully "
        "connected depth-2 ReLU network is a global optimum."
    )
    return TheoremNote("Lemma C.6", facts.planar_relu(2) and not facts.kinks, says)


def _theorem_4_4(facts: _Facts) -> TheoremNote:
    says = (
        "Being a KKT point of a depth-2 network with shared weights, linear or ReLU, does not "
        "guarantee local optimality, even where the inputs to all hidden neurons are non-zero."
    )
    applies = facts.plain and facts.depth == 2 and not facts.no_share
    return TheoremNote("Theorem 4.4", applies, says)


def _theorem_5_1(facts: _Facts) -> TheoremNote:
    says = (
        "Being a KKT point of a diagonal network of depth 3 or more, linear or ReLU, does not "
        "guarantee local optimality, even where the inputs to all neurons are non-zero."
    )
    return TheoremNote("Theorem 5.1", facts.plain_diagonal and facts.depth >= 3, says)


def _theorem_5_2(facts: _Facts) -> TheoremNote:
    applies = facts.kkt and facts.linear and facts.depth >= 2
    says = (
        "At a KKT point of a linear network, every layer by itself is a global optimum of its "
        "maximum-margin problem with the other layers fixed."
    )
    return _positive("Theorem 5.2", applies, says, "layers_global")


def _theorem_5_3(facts: _Facts) -> TheoremNote:
    says = (
        "Being a KKT point of a fully connected depth-2 ReLU network does not guarantee that the "
        "first layer by itself is a local optimum: inputs to neurons may be zero."
    )
    return TheoremNote("Theorem 5.3", facts.planar_relu(4), says)


def _theorem_5_4(facts: _Facts) -> TheoremNote:
    applies = facts.kkt and not facts.linear and facts.depth >= 2 and not facts.kinks
    says = (
        "At a KKT point of a ReLU network, the inputs to all hidden neurons being non-zero, every "
        "layer by itself is a local optimum with the others fixed; it may not be a global one."
    )
    return _positive("Theorem 5.4", applies, says, "layers_local")


def _theorem_6_1() -> TheoremNote:
    says = (
        "In networks that are not homogeneous (a skip connection) the normalized margin may fall "
        "during training; every network that can be certified is homogeneous."
    )
    return TheoremNote("Theorem 6.1", applies=False, says=says)
