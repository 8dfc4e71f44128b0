"""Depth 2 without sharing: the net as neurons, each with its own inputs.

Neuron j has weights w_j on the inputs that it sees and one output weight v_j (or none), and

    1/2 ||theta||^2 >= sum_j |v_j| ||w_j||.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from .case import Case
from .errors import require
from .exact import Matrix, Vector
from .network import Network, Theta


@dataclass(frozen=True)
class Neuron:
    """Places of w_j in the first layer's parameters, of its inputs, and of v_j (None: absent)."""

    weights: tuple[int, ...]
    inputs: tuple[int, ...]
    output: int | None

    def w(self, theta: Theta) -> Vector:
        """The weights of the neuron."""
        return Vector(tuple([theta[0].integers[k] for k in self.weights]), theta[0].exponent)

    def v(self, theta: Theta) -> Vector:
        """The output weight, as a vector of one number (0 where it is absent)."""
        whole = 0 if self.output is None else theta[1].integers[self.output]
        return Vector((whole,), theta[1].exponent)


def neurons(network: Network) -> list[Neuron]:
    """All hidden neurons, in order; rejects other nets."""
    simple = network.depth == 2 and not any(layer.shares for layer in network.layers)
    require(simple, "kind of network", "the rule is for depth 2 without shared weights")
    outputs = dict(zip(network.layers[1].pairs[0][1], network.layers[1].pairs[0][0], strict=True))
    return [
        Neuron(tuple(parameters), tuple(inputs), outputs.get(j))
        for j, (parameters, inputs) in enumerate(network.layers[0].pairs)
    ]


def connected(network: Network) -> list[Neuron]:
    """The neurons that have an output weight: others change nothing, and have no lower norm."""
    return [neuron for neuron in neurons(network) if neuron.output is not None]


def seen(case: Case, found: Sequence[Neuron]) -> dict[tuple[int, ...], Matrix]:
    """For each set of inputs that some neuron sees: the examples restricted to it."""
    kinds = {neuron.inputs for neuron in found}
    return {inputs: case.problem.x.picked(inputs) for inputs in kinds}
