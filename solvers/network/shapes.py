"""The shapes of this package's arrays, each letter declared once.

``n`` examples (``m``: another set of them), ``d`` inputs with the bias feature (``x`` without),
``p`` parameters, ``i`` inputs and ``o`` outputs of one layer, ``c`` chosen rows. ``Shaped`` arrays
may hold doubles or, for exact arithmetic, Python integers and fractions.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from jaxtyping import Bool, Float, Int, Shaped

Array = npt.NDArray[Any]

Parameters = Shaped[Array, " p"]
PerExample = Shaped[Array, " n"]
Examples = Shaped[Array, "n d"]
RawExamples = Float[Array, "n x"]
Gradients = Shaped[Array, "n p"]
ChosenGradients = Shaped[Array, "c p"]
Chosen = Int[Array, " c"]
GramMatrix = Float[Array, "n n"]
Hessian = Float[Array, "p p"]

LayerInputs = Shaped[Array, "n i"]
LayerOutputs = Shaped[Array, "n o"]
OtherInputs = Float[Array, "m i"]
OtherOutputs = Float[Array, "m o"]
CrossGram = Float[Array, "n m"]
IndexMap = Int[Array, "o i"]
Terms = Int[Array, " t"]
InputMask = Bool[Array, " i"]
OutputMask = Bool[Array, " o"]
