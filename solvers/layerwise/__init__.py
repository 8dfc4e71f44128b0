"""Problem 3: the max-margin problem of one layer, the others frozen."""

from solvers.layerwise.answers import layer_findings

__all__ = ["layer_findings"]
