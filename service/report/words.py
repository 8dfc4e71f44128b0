"""Sentences and numbers of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

MOST_OF_A_NETWORK = 400
MOST_LISTED = 20

VERDICTS: Mapping[str, str] = {
    "infeasible": "Infeasible",
    "not_kkt": "Not a KKT point",
    "not_local_optimum": "Not a local optimum",
    "local_optimum": "Local optimum",
    "global_optimum": "Global optimum",
    "inconclusive": "Not decided",
}

_CLAIMS: Mapping[str, str] = {
    "feasible": "Every margin of the point is at least 1.",
    "infeasible": "The margins of the named examples are too small (level {level}).",
    "kkt": "There are multipliers and Clarke subgradients with ‖θ − Σ λᵢhᵢ‖ ≤ {eps} ‖θ‖ and "
    "Σ λᵢ(qᵢ − 1) ≤ {delta} ‖θ‖² (kinks: |z| ≤ {kink} ‖w‖ ‖input‖).",
    "not_kkt": "No multipliers and no subgradients at all meet the tolerances {eps} and {delta}.",
    "better_point": "A feasible point with objective {value} or less exists; it is attached.",
    "descent_witness": "Feasible points with smaller norm exist at distances that fall to the "
    "resolution; they are attached.",
    "global_lower_bound": "No feasible point of the network has an objective below {value}.",
    "local_lower_bound": "No feasible point within distance {radius} has an objective below "
    "{value}.",
    "layer_lower_bound": "With the other layers fixed, no feasible layer {layer} has an objective "
    "below {value}.",
    "layer_lower_bound near": "With the other layers fixed, no feasible layer {layer} within "
    "distance {radius} has an objective below {value}.",
    "layer_better_point": "With the other layers fixed, a feasible layer {layer} with objective "
    "{value} or less exists; it is attached.",
    "descent_witness layer": "With the other layers fixed, feasible layers {layer} with smaller "
    "norm exist at distances that fall to the resolution; they are attached.",
    "predictor_lower_bound": "No predictor that separates the data has a {norm} norm below "
    "{value}.",
    "predictor_better_point": "A predictor that separates the data with {norm} norm {value} or "
    "less exists; it is attached.",
    "predictor_local_bound": "No separating predictor close to this one has a smaller {norm} norm.",
    "predictor_descent_witness": "Separating predictors with smaller {norm} norm exist arbitrarily "
    "close; they are attached.",
}

TOLERANCES: Mapping[str, str] = {
    "kkt": "ε of the KKT answer: ‖θ − Σ λᵢhᵢ‖ ≤ ε ‖θ‖",
    "complementarity": "δ of the KKT answer: Σ λᵢ(qᵢ − 1) ≤ δ ‖θ‖²",
    "gap": "a global yes: (objective − lower bound) / objective is at most this",
    "kink": "a pre-activation z counts as a kink where |z| ≤ this × ‖w‖ ‖input‖",
    "resolution": "the smallest radius, relative to ‖θ‖, that a local answer speaks of",
    "direction": "the curve's direction stands still where |dφ/d log ‖θ‖| is at most this",
    "integrator": "of the integrator, relative, per step",
}

METHODS: Mapping[str, str] = {
    "first_order": "the direction that refutes the KKT conditions",
    "global": "implied by the global answer",
}
"""What a method's name alone does not say."""


def number(value: Any) -> str:
    """A number as people read it; a word as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.6g}" if isinstance(value, int | float) else str(value)


def label(field: str) -> str:
    """The name of a field in words."""
    text = field.replace("_", " ")
    return text[0].upper() + text[1:]


def listed(values: Sequence[Any]) -> str:
    """The first values, and how many follow."""
    text = ", ".join(str(value) for value in values[:MOST_LISTED])
    rest = len(values) - MOST_LISTED
    return f"{text} and {rest} more" if rest > 0 else text


def claim(said: Mapping[str, Any]) -> str:
    """One claim of a certificate as a sentence, with its exact numbers."""
    kind = _kind(said)
    values = {key: str(value) for key, value in said.items() if key != "claim"}
    if kind in _CLAIMS:
        return _CLAIMS[kind].format_map(values)
    return f"{kind}: " + ", ".join(f"{key} {value}" for key, value in values.items())


def _kind(said: Mapping[str, Any]) -> str:
    """The claim's name, and whether it is about a ball or a layer where both kinds exist."""
    name = str(said["claim"])
    special = {"layer_lower_bound": ("radius", "near"), "descent_witness": ("layer", "layer")}
    key, word = special.get(name, ("claim", ""))
    return f"{name} {word}" if word and key in said else name


def method(name: str | None) -> str | None:
    """A method's name in words."""
    return None if name is None else METHODS.get(name, name.replace("_", " "))


def network(found: Mapping[str, Any]) -> str:
    """A network in words; one that is listed layer by layer as JSON, cut where it is long."""
    activation = {"relu": "ReLU"}.get(found["activation"], found["activation"])
    match found["type"]:
        case "fully_connected":
            text = f"fully connected {'-'.join(map(str, found['widths']))}, {activation}"
        case "diagonal":
            text = f"diagonal, {found['dimension']} inputs, depth {found['depth']}, {activation}"
        case _:
            text = orjson.dumps(dict(found)).decode()
    if not text.startswith("{"):
        text += "".join(_extras(found))
    return text if len(text) <= MOST_OF_A_NETWORK else f"{text[:MOST_OF_A_NETWORK]} …"


def _extras(found: Mapping[str, Any]) -> Iterator[str]:
    """What is added to a net of a plain kind."""
    if found.get("first_layer_bias"):
        yield ", biases in the first layer"
    if found.get("skip_connection"):
        yield ", a skip connection"
    if found.get("bias"):
        yield ", an output bias" if found["bias"] == "output" else ", biases in all layers"
