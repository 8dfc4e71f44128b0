"""What the page of a flow answer shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from service.report import curves, paths, point, words
from service.report.arrays import Load

Json = Mapping[str, Any]

MOST_EVENTS = 100

_EVENTS = {
    "neuron_dies": "neuron {neuron} of layer {layer} dies: inactive on every example",
    "neuron_wakes": "neuron {neuron} of layer {layer} wakes up",
    "sign_change": "neuron {neuron} of layer {layer} becomes {side} on example {example}",
}
_KINDS = {
    "neuron_dies": "neurons that die",
    "neuron_wakes": "neurons that wake up",
    "sign_change": "pre-activations that change their sign",
}


def context(answer: Json, load: Load) -> dict[str, Any]:
    """The fields of the page."""
    certification = answer["certification"]
    network = answer.get("network")
    neurons = paths.neurons(answer)
    return {
        "headline": _headline(answer),
        "cited": "Gradient flow",
        "summary": answer["summary"],
        "network": None if network is None else words.network(network),
        "followed": _followed(answer),
        "facts": list(_facts(answer)),
        "pictures": {
            "margins": curves.margins(answer),
            "sizes": curves.sizes(answer),
            "neurons": neurons or curves.layers(answer),
        },
        "planar": neurons is not None,
        "events": _events(answer),
        "limit": list(_limit(answer)),
        "point": None if certification is None else point.about(certification, load),
        "tolerances": point.tolerances(answer),
    }


def _headline(answer: Json) -> str:
    found = answer["certification"]
    if found is not None:
        verdict = words.VERDICTS[found["verdict"]]
        return f"The flow's limit: {verdict[0].lower()}{verdict[1:]}"
    if not answer["separated"]:
        return "Gradient flow that does not fit the data"
    if answer.get("homogeneous") is False:
        course = "falls" if answer["monotone_margin"] is False else "never falls"
        return f"Not homogeneous: the normalized margin {course}"
    known = "not certified" if answer["converged"] else "not identified"
    return f"Gradient flow, its limit {known}"


def _followed(answer: Json) -> str:
    method = "Gradient descent" if answer.get("method") == "descent" else "Gradient flow"
    return f"{method} on the {answer.get('loss')} loss"


def _facts(answer: Json) -> Iterator[tuple[str, Any]]:
    """Label and value, of what the answer has."""
    samples = answer["trajectory"]
    yield "It ended because", answer["stopped"]["detail"]
    if answer.get("steps") is not None:
        yield "Steps", answer["steps"]
    if samples:
        first, last = samples[0], samples[-1]
        yield "log ‖θ‖", f"{first['log_norm']:.6g} to {last['log_norm']:.6g}"
        yield "log t at the end", "–" if last["log_time"] is None else last["log_time"]
        yield "log loss", f"{first['log_loss']:.6g} to {last['log_loss']:.6g}"
        for key in ("normalized_margin", "smoothed_margin"):
            yield words.label(key), f"{first[key]:.6g} to {last[key]:.6g}"
    for key, label in (
        ("monotone_margin", "The normalized margin never fell"),
        ("largest_margin_fall", "Its largest fall, relative"),
        ("monotone_smoothed_margin", "The smoothed margin never fell"),
    ):
        if answer.get(key) is not None:
            yield label, answer[key]
    drifts = [quantity["drift"] for quantity in answer.get("conserved") or ()]
    if drifts:
        yield "Largest drift of a conserved quantity, relative to ‖θ‖²", max(drifts)
    if answer.get("independent_parameters") is not None:
        label = "Independent parameters (the rest follows by symmetry)"
        yield label, answer["independent_parameters"]


def _events(answer: Json) -> dict[str, Any] | None:
    found = answer.get("events") or []
    if not found:
        return None
    counts = Counter(event["kind"] for event in found)
    told = [f"{_KINDS[kind]}: {count}" for kind, count in counts.items()]
    return {
        "all": len(found),
        "counted": f"{words.label('; '.join(told))}.",
        "shown": [{**event, "says": _event(event)} for event in found[:MOST_EVENTS]],
    }


def _event(event: Json) -> str:
    side = "active" if event["active"] else "inactive"
    return _EVENTS[event["kind"]].format_map({**event, "side": side})


def _limit(answer: Json) -> Iterator[str]:
    """Sentences about the limit: what it is, how near the curve came, what it looks like."""
    polish = answer.get("polish") or {}
    if polish.get("explained"):
        yield (
            "The end of the curve was polished to an exact KKT point, at a distance of "
            f"{polish['accuracy']:.3g} between the directions; the curve tends to it. That is "
            "evidence about a limit, not a proof; what is proved is about the point itself."
        )
    elif polish.get("reason"):
        yield f"No limit is named: {polish['reason']}."
    if polish.get("power") is not None:
        yield f"The distance falls like ‖θ‖ to the power −{polish['power']:.3g}."
    structure = answer.get("limit")
    if structure is not None:
        yield from _structure(structure)
    if answer["certification"] is None and answer["certification_reason"]:
        yield f"Not certified: {answer['certification_reason']}."


def _structure(found: Json) -> Iterator[str]:
    support = found["support"]
    if support:
        yield f"Examples with a positive multiplier: {words.listed(support)}."
    vanishing = [f"{n['neuron']} (layer {n['layer']})" for n in found["vanishing_neurons"]]
    if vanishing:
        yield f"Neurons that vanish: {words.listed(vanishing)}."
