"""Unit tests of the solver core: each module against an independent second method."""
