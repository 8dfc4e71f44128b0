"""The linear operators W(u) of class N: one file per kind, none ever expanded to its matrix."""

from solvers.network.layers.base import Layer, connected_inputs
from solvers.network.layers.convolution import Convolution
from solvers.network.layers.dense import Dense
from solvers.network.layers.diagonal import Diagonal
from solvers.network.layers.shared import Shared

__all__ = [
    "Convolution",
    "Dense",
    "Diagonal",
    "Layer",
    "Shared",
    "connected_inputs",
]
