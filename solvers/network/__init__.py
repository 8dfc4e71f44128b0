"""Class N: networks with index maps, their JSON form, forward pass and derivatives."""

from solvers.network.building import MAX_SIZE
from solvers.network.layers import Convolution, Dense, Diagonal, Layer, Shared
from solvers.network.network import Arrays, Network, Slopes, Trace
from solvers.network.shapes import Array
from solvers.network.specification import MAX_DEPTH, NetworkSpec, homogeneous_part, parse

__all__ = [
    "MAX_DEPTH",
    "MAX_SIZE",
    "Array",
    "Arrays",
    "Convolution",
    "Dense",
    "Diagonal",
    "Layer",
    "Network",
    "NetworkSpec",
    "Shared",
    "Slopes",
    "Trace",
    "homogeneous_part",
    "parse",
]
