"""Everything in an answer that a stranger can check, checked: closure rules and exact evidence.

``certified(request)`` certifies and audits; tests then only look at what they are about.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np

from solvers import certify
from tests.acceptance.oracle import Json, Net, Request, exact, flat, square

SLACK = Fraction(1, 10**10)
"""Rounding that numbers reported in doubles may carry, relative."""


def certified(request: Request, **options: Any) -> Json:
    body = certify(
        request.network, request.dataset, [p.tolist() for p in request.parameters], **options
    ).to_dict()
    audit(request, body, **options)
    return body


def audit(request: Request, body: Json, **options: Any) -> None:
    check_closure(body)
    check_identity(body)
    if not body["feasibility"]["feasible"]:
        check_infeasible(request, body)
        return
    check_point(request, body, **options)
    check_evidence(request, body)
    if body["kkt"] is not None:
        check_kkt(request, body)
    check_layers(request, body)


def check_identity(body: Json) -> None:
    """``id`` is the SHA-256 of the canonical JSON without ``id`` and ``timings``."""
    hashed = {k: v for k, v in body.items() if k not in ("id", "timings")}
    text = json.dumps(
        hashed, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    assert body["id"] == "cert_" + hashlib.sha256(text.encode()).hexdigest()


def answer(body: Json, question: str) -> str:
    return "unknown" if body[question] is None else str(body[question]["answer"])


def check_closure(body: Json) -> None:
    """The rules of the contract: implications, precedence of the verdict, words of termination."""
    check_termination(body)
    if body["verdict"] == "infeasible":
        for field in ("kkt", "local", "global", "layers", "predictor", "objective"):
            assert body[field] is None, field
        assert body["feasibility"]["violations"]
        assert not body["feasibility"]["feasible"]
        return
    kkt, local, global_ = (answer(body, q) for q in ("kkt", "local", "global"))
    assert body["verdict"] == expected_verdict(kkt, local, global_)
    if body["global"] is not None:
        check_global(body, local, global_)
    if body["local"] is not None:
        check_local(body, local, global_)
    for layer in body["layers"] or []:
        ours = (layer["local"]["answer"], layer["global"]["answer"])
        assert ours not in {("no", "yes"), ("no", "unknown"), ("unknown", "yes")}


REASONS = {
    "infeasible": "refuted",
    "not_kkt": "refuted",
    "not_local_optimum": "refuted",
    "local_optimum": "proved",
    "global_optimum": "proved",
}


def check_termination(body: Json) -> None:
    verdict, termination = body["verdict"], body["termination"]
    if verdict in REASONS:
        assert termination["reason"] == REASONS[verdict]
        assert termination["limit"] == "none"
    else:
        assert verdict == "inconclusive"
        assert termination["reason"] in ("limit", "numerical")
    if termination["reason"] == "limit":
        assert termination["limit"] in ("time", "memory", "patterns", "nodes", "precision")


def check_global(body: Json, local: str, global_: str) -> None:
    if local == "no":
        assert global_ == "no"
    if global_ == "no":
        assert body["global"]["better_point"] is not None
        assert body["global"]["better_objective"] < body["objective"]
    if global_ == "yes":
        assert body["global"]["gap"] <= body["tolerances"]["gap"] * (1 + 1e-9)


def check_local(body: Json, local: str, global_: str) -> None:
    if global_ == "yes":
        assert local == "yes"
    if local == "no":
        assert body["local"]["witness"]
        assert body["local"]["robust_radius"] > 0.0
    if local == "yes":
        assert body["local"]["slack"] is not None
        assert body["local"]["slack"] <= body["tolerances"]["gap"] * body["objective"] * (1 + 1e-9)
        if body["local"]["radius"] is not None:
            check_radius(body)


def check_radius(body: Json) -> None:
    """Theory, section 0: r >= R_min, and a slack small against the curvature that r can show."""
    relative = body["local"]["radius"] / (2 * body["objective"]) ** 0.5
    assert relative >= body["tolerances"]["resolution"] * (1 - 1e-9)
    assert body["local"]["slack"] <= 1e-5 * body["objective"] * relative**2 * (1 + 1e-9)


def expected_verdict(kkt: str, local: str, global_: str) -> str:
    if kkt == "no":
        return "not_kkt"
    if local == "no":
        return "not_local_optimum"
    if global_ == "yes":
        return "global_optimum"
    return "local_optimum" if local == "yes" else "inconclusive"


def check_infeasible(request: Request, body: Json) -> None:
    """Some margin of the point that was posted is not positive, and it is named."""
    if body["verdict"] != "infeasible":
        return
    margins = exact_margins(request, request.parameters)
    wrong = {v["example"] - 1 for v in body["feasibility"]["violations"]}
    assert wrong == {i for i, q in enumerate(margins) if q <= 0}


def exact_margins(request: Request, point: Any) -> list[Fraction]:
    net = request.net
    return list(net.margins(exact(flat(point)), exact(request.x), request.y))


def is_feasible(request: Request, point: Any) -> bool:
    return min(exact_margins(request, point)) >= 1


def half(point: Any) -> Fraction:
    return square(flat(point)) / 2


def close(a: float | Fraction, b: Fraction, tolerance: Fraction = SLACK) -> bool:
    return abs(Fraction(a) - b) <= tolerance * abs(b)


def check_refinement(
    refinement: Json, found: Any, given: list[Fraction], options: dict[str, Any]
) -> None:
    """The refined point is as far from the multiple of the posted one as is said, and not farther
    than the request allows."""
    far = sum(((f - g) ** 2 for f, g in zip(found, given, strict=True)), Fraction(0))
    size = sum((g * g for g in given), Fraction(0))
    allowed = Fraction(options.get("refine_radius", 0.1)) ** 2
    assert far <= allowed * size * (1 + SLACK), "moved farther than the request allows"
    noise = size / 10**28
    assert far <= Fraction(refinement["distance"]) ** 2 * (1 + Fraction(1, 1000)) + noise


def check_point(request: Request, body: Json, **options: Any) -> None:
    """The certified point is feasible exactly, and a positive multiple of the posted one."""
    point = body["point"]
    assert is_feasible(request, point)
    assert close(body["objective"], half(point))
    given, found = exact(request.theta), exact(flat(point))
    scale = Fraction(body["feasibility"]["scale"])
    refinement = body.get("refinement")
    if refinement is not None and refinement["converged"]:
        check_refinement(refinement, found, [scale * g for g in given], options)
    else:
        largest = max(abs(g) for g in given)
        assert all(
            abs(f - scale * g) <= SLACK * scale * largest for f, g in zip(found, given, strict=True)
        )
    for reported, q in zip(
        body["feasibility"]["margins"], exact_margins(request, point), strict=True
    ):
        assert close(reported, q, Fraction(1, 10**6)), (reported, float(q))


def distance_squared(a: Any, b: Any) -> Fraction:
    left, right = exact(flat(a)), exact(flat(b))
    return sum(((p - q) ** 2 for p, q in zip(left, right, strict=True)), Fraction(0))


def check_evidence(request: Request, body: Json) -> None:
    """Witnesses and better points are exactly feasible and exactly lower; bounds hold for them."""
    f, known = half(body["point"]), [half(body["point"])]
    local, global_ = body["local"], body["global"]
    for witness in (local or {}).get("witness") or []:
        assert is_feasible(request, witness["point"])
        assert half(witness["point"]) < f
        assert close(witness["objective"], half(witness["point"]))
        far = distance_squared(witness["point"], body["point"])
        assert close(Fraction(witness["distance"]) ** 2, far, Fraction(1, 10**4))
        known.append(half(witness["point"]))
    if local is not None and local["answer"] == "no":
        lowest = min(w["distance"] for w in local["witness"])
        assert lowest <= 1e-3 * max(w["distance"] for w in local["witness"])
        check_witness(body)
    better = (global_ or {}).get("better_point")
    if better is not None:
        assert is_feasible(request, better)
        assert half(better) < f
        assert close(global_["better_objective"], half(better))
        known.append(half(better))
    bound = (global_ or {}).get("lower_bound")
    if bound is not None:
        assert Fraction(bound) <= min(known)
    if (
        local is not None
        and local["answer"] == "yes"
        and local.get("radius") is not None
        and (
            better is not None
            and distance_squared(better, body["point"]) < Fraction(local["radius"]) ** 2
        )
    ):
        assert half(better) >= f - Fraction(local["slack"])


def check_witness(body: Json) -> None:
    """Theory, section 0: a decrease at every distance that is no rounding and no tolerance."""
    f, local = half(body["point"]), body["local"]
    decreases = []
    for witness in local["witness"]:
        decrease = f - half(witness["point"])
        relative = distance_squared(witness["point"], body["point"]) / (2 * f)
        assert decrease >= Fraction(9, 100_000) * f * relative, "too small for its distance"
        decreases.append((decrease, witness["point"]))
    best, point = max(decreases, key=lambda pair: pair[0])
    assert best > Fraction(body["tolerances"]["gap"]) * f * (1 - SLACK)
    shrunk = float(np.linalg.norm(flat(body["point"]))) - float(np.linalg.norm(flat(point)))
    assert local["robust_radius"] <= shrunk * (1 + 1e-9) + 1e-12 * float(f) ** 0.5


def kink_masks(net: Net, theta: np.ndarray, x: np.ndarray, tolerance: float) -> list[np.ndarray]:
    """|z| <= tolerance ||w_j|| ||input||, where the neuron can see something non-zero."""
    masks, a = [], net.inputs(x)
    seen = a != 0
    limit = Fraction(tolerance) ** 2
    for index, w in enumerate(net.weights(theta)[:-1]):
        link = net.maps[index] > 0
        z = a @ w.T
        sizes = np.array([sum((v * v for v in row), Fraction(0)) for row in w], dtype=object)
        inputs = (a * a) @ link.T.astype(int)
        near = np.array(z * z <= limit * sizes[None, :] * inputs, dtype=bool)
        touched = (seen.astype(int) @ link.T.astype(int)) > 0
        masks.append(near & touched)
        seen = (np.array(z > 0, dtype=bool) | masks[-1]) & touched
        a = np.where(z > 0, z, z * 0)
    return masks


def check_kkt(request: Request, body: Json) -> None:
    """yes: the residual and complementarity at the given multipliers and slopes. no: the dual."""
    kkt = body["kkt"]
    if kkt["answer"] == "unknown":
        return
    net, theta = request.net, exact(flat(body["point"]))
    x = exact(request.x)
    pre, outputs = net.forward(theta, x)
    margins = np.array([int(label) for label in request.y]) * outputs
    masks = [np.zeros(z.shape, dtype=bool) for z in pre]
    if net.relu:
        masks = kink_masks(net, theta, x, body["tolerances"]["kink"])
    if kkt["answer"] == "yes":
        _check_multipliers(request, body, theta, x, pre, margins, masks)
    else:
        _check_direction(request, body, theta, x, pre, margins, masks)


def _check_multipliers(
    request: Request,
    body: Json,
    theta: np.ndarray,
    x: np.ndarray,
    pre: list[np.ndarray],
    margins: np.ndarray,
    masks: list[np.ndarray],
) -> None:
    net, kkt, tolerances = request.net, body["kkt"], body["tolerances"]
    slopes = [_slopes(net, z, mask) for z, mask in zip(pre, masks, strict=True)]
    for kink in kkt["kinks"]:
        place = (kink["example"] - 1, kink["neuron"] - 1)
        assert 0.0 <= kink["slope"] <= 1.0
        assert masks[kink["layer"] - 1][place], "a slope at a pre-activation that is no kink"
        slopes[kink["layer"] - 1][place] = Fraction(kink["slope"])
    layers_with_kinks = np.sum([mask.any(axis=1) for mask in masks], axis=0)
    multipliers = [Fraction(v) for v in kkt["multipliers"]]
    assert min(multipliers) >= 0
    rho = theta.copy()
    for i, weight in enumerate(multipliers):
        if weight:
            rows = [s[i] for s in slopes]
            rho = rho - weight * int(request.y[i]) * net.gradient(theta, x[i : i + 1], rows)
    size = sum(t * t for t in theta)
    spent = sum(w * (q - 1) for w, q in zip(multipliers, margins, strict=True))
    assert spent <= Fraction(tolerances["complementarity"]) * size * (1 + SLACK)
    noise = Fraction(1, 10**12) + 10 * len(x) * Fraction(tolerances["kink"])
    if layers_with_kinks.max(initial=0) <= 1:
        residual = sum(r * r for r in rho)
        assert residual <= Fraction(tolerances["kkt"]) ** 2 * size * Fraction(1001, 1000)
        assert close(Fraction(kkt["residual"]) ** 2, residual, Fraction(1, 100)) or (
            max(Fraction(kkt["residual"]) ** 2, residual) <= noise**2 * size
        )


def _slopes(net: Net, z: np.ndarray, mask: np.ndarray) -> np.ndarray:
    out = np.empty(z.shape, dtype=object)
    for place, value in np.ndenumerate(z):
        out[place] = Fraction(int(not net.relu or (value > 0 and not mask[place])))
    return out


def _check_direction(
    request: Request,
    body: Json,
    theta: np.ndarray,
    x: np.ndarray,
    pre: list[np.ndarray],
    margins: np.ndarray,
    masks: list[np.ndarray],
) -> None:
    """Some t >= 0 has <h, d> >= -t (q_i - 1) for all outer h and <theta, d> < -(eps, t delta)."""
    net, tolerances = request.net, body["tolerances"]
    d = exact(flat(body["kkt"]["descent_direction"]))
    base = [_slopes(net, z, mask) for z, mask in zip(pre, masks, strict=True)]
    price = Fraction(0)
    for i in range(len(x)):
        places = [(k, int(j)) for k, mask in enumerate(masks) for j in np.flatnonzero(mask[i])]
        least = None
        for bits in _choices(len(places)):
            rows = [b[i].copy() for b in base]
            for (k, j), bit in zip(places, bits, strict=True):
                rows[k][j] = Fraction(bit)
            g = int(request.y[i]) * net.gradient(theta, x[i : i + 1], rows)
            product_ = sum(a * b for a, b in zip(g, d, strict=True))
            noise = Fraction(1, 10**11) ** 2 * sum(a * a for a in g) * sum(b * b for b in d)
            if product_ < 0 and product_**2 > noise:
                least = product_ if least is None else min(least, product_)
        if least is not None:
            assert margins[i] > 1, "the direction lowers an active margin"
            price = max(price, -least / (margins[i] - 1))
    size = sum(t * t for t in theta)
    length = sum(v * v for v in d)
    slope = sum(t * v for t, v in zip(theta, d, strict=True))
    gain = -slope - price * Fraction(tolerances["complementarity"]) * size
    assert gain > 0
    assert gain**2 >= Fraction(tolerances["kkt"]) ** 2 * size * length * (1 - SLACK)


def _choices(count: int) -> Iterator[Sequence[int]]:
    if count <= 6:
        yield from product((0, 1), repeat=count)
        return
    rng = np.random.default_rng(count)
    yield from ([0] * count, [1] * count)
    for _ in range(62):
        yield rng.integers(0, 2, count).tolist()


def check_layer_slack(local: Json, own: Fraction, tolerances: Json) -> None:
    """A yes about a layer obeys the rule of :func:`check_radius`, with the layer's own norm."""
    if local["answer"] != "yes":
        return
    assert local["slack"] <= tolerances["gap"] * float(own) * (1 + 1e-9)
    if local["radius"] is not None:
        relative = local["radius"] / (2 * float(own)) ** 0.5
        assert relative >= tolerances["resolution"] * (1 - 1e-9)
        assert local["slack"] <= 1e-5 * float(own) * relative**2 * (1 + 1e-9)


def check_layers(request: Request, body: Json) -> None:
    """Layer evidence moves that layer only, is feasible and lower."""
    point = body["point"]
    for finding in body["layers"] or []:
        index = finding["layer"] - 1
        own = half([point[index]])
        check_layer_slack(finding["local"], own, body["tolerances"])
        moved = [w["point"] for w in finding["local"]["witness"]]
        if finding["global"]["better_point"] is not None:
            moved.append(finding["global"]["better_point"])
        for other in moved:
            assert all(
                np.array_equal(a, b)
                for k, (a, b) in enumerate(zip(point, other, strict=True))
                if k != index
            )
            assert is_feasible(request, other)
            assert half([other[index]]) < own
        bound = finding["global"]["lower_bound"]
        if bound is not None:
            lowest = min([own, *(half([other[index]]) for other in moved)])
            assert Fraction(bound) <= lowest * (1 + SLACK)
