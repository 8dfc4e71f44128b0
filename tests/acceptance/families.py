"""Shared and deep nets at KKT points of many kinds: smooth, on kinks, beside dead neurons.

A point starts at random, with a dead unit or with two equal ones (both stay so), or from least
squares on the KKT equations (saddles included); SLSQP polishes it, near-kinks are then held at
exactly zero by equality constraints, and ``refine`` moves it the last digits to a KKT point.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import scipy.optimize

from tests.acceptance import points
from tests.acceptance.attack import MINIMIZE, POINTS, Ball, Search, Tried, survives
from tests.acceptance.audit import certified
from tests.acceptance.batched import Batched
from tests.acceptance.oracle import Json, Net, Request, flat

Spec = dict[str, object]
NEAR = 1e-3
"""Relative pre-activations below this are held at zero."""
ATTEMPTS = 15
"""Starts of one instance; every third draws another net and other data."""
NEIGHBOURHOOD = 1e-2
"""Relative radius in which undecided points are searched for a descent."""


@dataclass(frozen=True)
class Family:
    """Networks of one kind; ``kinks``: none, live, dead or any, at the points that count."""

    name: str
    spec: Callable[[np.random.Generator], Spec]
    kinks: str = "any"


def conv1d(activation: str) -> Callable[[np.random.Generator], Spec]:
    """Two or three filters, valid or zero padding."""

    def drawn(rng: np.random.Generator) -> Spec:
        layer: Spec = {
            "type": "convolution",
            "filter_size": int(rng.integers(2, 4)),
            "stride": int(rng.integers(1, 3)),
            "filters": int(rng.integers(2, 4)),
        }
        if rng.random() < 0.3:
            layer |= {"padding": "zero", "pad": 1}
        return {
            "type": "layers",
            "input_size": int(rng.integers(4, 7)),
            "activation": activation,
            "layers": [layer, {"type": "dense", "outputs": 1}],
        }

    return drawn


def conv2d(activation: str) -> Callable[[np.random.Generator], Spec]:
    """Two filters on 3 x 3 or 3 x 4 images, one in four with a second convolution above."""

    def drawn(rng: np.random.Generator) -> Spec:
        width = int(rng.integers(3, 5))
        first: Spec = {
            "type": "convolution2d",
            "height": 3,
            "width": width,
            "filters": 2,
            "filter_size": [2, 2],
        }
        layers = [first]
        if rng.random() < 0.25:
            second = {"height": 2, "width": width - 1, "channels": 2, "filters": 1}
            layers.append({"type": "convolution2d", "filter_size": [2, 1], **second})
        layers.append({"type": "dense", "outputs": 1})
        return {
            "type": "layers",
            "input_size": 3 * width,
            "activation": activation,
            "layers": layers,
        }

    return drawn


def circular(activation: str) -> Callable[[np.random.Generator], Spec]:
    """One or two circular convolutions, of full width or not, and a dense or diagonal layer."""

    def drawn(rng: np.random.Generator) -> Spec:
        size = int(rng.integers(3, 5))
        filters = int(rng.integers(1, 3))
        layers: list[Spec] = [_circular(size if rng.random() < 0.5 else 2, 1, filters)]
        if rng.random() < 0.3:
            layers.append(_circular(2, filters, 1))
        layers.append({"type": "dense", "outputs": 1})
        return {"type": "layers", "input_size": size, "activation": activation, "layers": layers}

    return drawn


def _circular(size: int, channels: int, filters: int) -> Spec:
    return {
        "type": "convolution",
        "filter_size": size,
        "channels": channels,
        "filters": filters,
        "padding": "circular",
    }


def two_hidden(rng: np.random.Generator) -> Spec:
    """Fully connected, two hidden ReLU layers."""
    d, k, h = (int(v) for v in rng.integers([2, 2, 2], [4, 5, 4]))
    return {"type": "fully_connected", "widths": [d, k, h, 1], "activation": "relu"}


def two_hidden_sparse(rng: np.random.Generator) -> Spec:
    """The same with a third of the weights absent."""
    widths = [3, int(rng.integers(2, 5)), int(rng.integers(2, 4)), 1]
    layers = []
    for inputs, outputs in pairwise(widths):
        index = (rng.random((outputs, inputs)) < 0.67).astype(int)
        index[np.arange(outputs), rng.integers(inputs, size=outputs)] = 1
        index[rng.integers(outputs, size=inputs), np.arange(inputs)] = 1
        index[index > 0] = np.arange(1, int(index.sum()) + 1)
        layers.append({"type": "shared", "index": index.tolist()})
    return {"type": "layers", "input_size": 3, "activation": "relu", "layers": layers}


FAMILIES: tuple[Family, ...] = (
    Family("several 1-D filters, linear", conv1d("linear")),
    Family("several 1-D filters, ReLU", conv1d("relu")),
    Family("several 2-D filters, linear", conv2d("linear")),
    Family("several 2-D filters, ReLU", conv2d("relu")),
    Family("circular, linear", circular("linear")),
    Family("circular, ReLU", circular("relu")),
    Family("two hidden layers, no kink", two_hidden, "none"),
    Family("two hidden layers, kinks", two_hidden, "live"),
    Family("two hidden layers, dead neurons", two_hidden, "dead"),
    Family("two sparse hidden layers, no kink", two_hidden_sparse, "none"),
    Family("two sparse hidden layers, kinks", two_hidden_sparse, "live"),
    Family("two sparse hidden layers, dead neurons", two_hidden_sparse, "dead"),
)


@dataclass
class Share:
    """What was answered at the KKT points of one family, and how its claims were attacked."""

    family: str
    instances: int = 0
    kkt: int = 0
    local: Counter[str] = field(default_factory=Counter)
    global_: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    attacked: list[Tried] = field(default_factory=list)
    descents: int = 0
    witnesses: int = 0
    seconds: list[float] = field(default_factory=list)

    def add(self, body: Json, attacked: list[Tried]) -> None:
        """Count one answer at a KKT point."""
        self.kkt += 1
        self.local[body["local"]["answer"]] += 1
        self.global_[body["global"]["answer"]] += 1
        if body["local"]["answer"] == "unknown":
            self.reasons[worded(body["local"]["reason"])] += 1
        self.witnesses += len(body["local"]["witness"] or [])
        self.attacked += attacked
        self.seconds.append(sum(body["timings"].values()))


def worded(reason: str) -> str:
    """A reason without its numbers; curvatures by their sign."""

    def sign(match: re.Match[str]) -> str:
        value = float(match[1])
        return "curvature " + ("zero" if abs(value) < 1e-9 else "> 0" if value > 0.0 else "< 0")

    text = re.sub(r"curvature on the critical subspace (\S+?)(?=[;,]|$)", sign, reason)
    return re.sub(r"(?<![\w.> <])-?\d[\d.e+-]*", "#", text.replace("> 0", "positive"))


def descends(request: Request, body: Json, *, seed: int) -> bool:
    """Whether a search close to an undecided point gains as a descent of second order would."""
    ball = Ball(request, body["point"])
    search = Search(ball, NEIGHBOURHOOD, np.random.default_rng(seed))
    best = max(
        (float(ball.gains(rows).max()) for rows in search.stages(POINTS, 3) if len(rows)),
        default=0.0,
    )
    return best > 1e-4 * NEIGHBOURHOOD**2


def share(family: Family, instances: int, *, seed: int = 0, time_limit: float = 10.0) -> Share:
    """Draw, certify, audit (exact evidence of every no) and attack (every yes)."""
    found = Share(family.name)
    for number in range(instances):
        found.instances += 1
        drawn = at_kkt_point(family, seed + number, time_limit=time_limit)
        if drawn is not None:
            request, body = drawn
            found.add(body, survives(request, body, starts=3, seed=seed + number))
            if body["local"]["answer"] == "unknown":
                found.descents += descends(request, body, seed=seed + number)
    return found


def at_kkt_point(
    family: Family, seed: int, *, time_limit: float = 10.0
) -> tuple[Request, Json] | None:
    """A random instance whose answer says KKT, with the kinks that the family asks for."""
    rng = np.random.default_rng([seed, *family.name.encode()])
    for attempt in range(ATTEMPTS):
        if attempt % 3 == 0:
            spec = family.spec(rng)
            net = Net.of(spec)
            x, y = points.data(rng, net, net.maps[0].shape[1])
        theta = start(rng, net, x, y, family.kinks)
        request = None if theta is None else sharpened(points.shaped(spec, x, y, theta), family)
        if request is not None and family.kinks == "none":
            request = without_dead_units(request)
        if request is None:
            continue
        body = certified(request, refine=True, questions=("kkt",))
        if body["kkt"] is None or body["kkt"]["answer"] != "yes":
            continue
        if family.kinks not in ("any", kinks_at(request, body["point"])):
            continue
        return request, certified(request, refine=True, time_limit=time_limit)
    return None


def kinks_at(request: Request, point: object) -> str:
    """none, live (some neuron that is not zero) or dead (only zero neurons)."""
    small = relative(request, flat(point)) if isinstance(point, list) else []
    if any(bool((z <= 1e-8).any()) for z in small):
        return "live"
    return "dead" if any(bool(np.isnan(z).any()) for z in small) else "none"


def relative(request: Request, theta: np.ndarray) -> list[np.ndarray]:
    """|z| / (||w_j|| ||input||); NaN at zero neurons, infinite where the neuron sees nothing."""
    net, found = request.net, []
    a = net.inputs(request.x)
    for w, g in zip(net.weights(theta)[:-1], net.maps[:-1], strict=True):
        z = a @ w.T
        seen = np.sqrt((a * a) @ (g > 0).T)
        sizes = np.linalg.norm(w, axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(seen > 0.0, np.abs(z) / (sizes * seen), np.inf)
        found.append(np.where(np.isnan(ratio), np.nan, ratio))
        a = np.maximum(z, 0.0)
    return found


def start(
    rng: np.random.Generator, net: Net, x: np.ndarray, y: np.ndarray, kinks: str
) -> np.ndarray | None:
    """A point with positive margins: plain, with a dead unit, with two equal ones; or a saddle."""
    kind = (
        "dead" if kinks == "dead" else str(rng.choice(["plain", "plain", "dead", "equal", "any"]))
    )
    if kinks in ("none", "live") and kind == "dead":
        kind = "plain"
    floats = Batched(net, x, y)
    rows = rng.normal(size=(200, net.size))
    if kind == "dead":
        for place in unit(rng, net):
            rows[:, place] = 0.0
    if kind == "equal":
        _tie(rng, net, rows)
    rows = rows[floats.margins(rows).min(axis=1) > 0.0]
    if not len(rows):
        return None
    if kind == "any":
        return saddle(floats, rows[0])
    return np.asarray(rows[0])


def unit(rng: np.random.Generator, net: Net) -> list[int]:
    """Parameters into and out of one hidden unit (for a convolution: one filter)."""
    layer = int(rng.integers(net.depth - 1))
    g = net.maps[layer]
    own = set(g[int(rng.integers(len(g)))].tolist()) - {0}
    rows = [j for j in range(len(g)) if set(g[j].tolist()) & own]
    into = {int(k) - 1 + net.slices[layer].start for j in rows for k in g[j] if k}
    after = net.maps[layer + 1][:, rows]
    return sorted(into | {int(k) - 1 + net.slices[layer + 1].start for k in after.ravel() if k})


def _tie(rng: np.random.Generator, net: Net, rows: np.ndarray) -> None:
    """Two hidden units with equal weights, where both have as many."""
    for _ in range(20):
        one, other = unit(rng, net), unit(rng, net)
        if len(one) == len(other) and not set(one) & set(other):
            rows[:, other] = rows[:, one]
            return


def saddle(floats: Batched, theta: np.ndarray) -> np.ndarray:
    """Least squares on theta = J' lambda^2, q = 1 + s^2, lambda s = 0 from a random point."""
    p, n = len(theta), len(floats.y)

    def residual(v: np.ndarray) -> np.ndarray:
        here, weights, spare = v[:p], v[p : p + n], v[p + n :]
        q = floats.margins(here[None])[0]
        pull = floats.jacobian(here).T @ weights**2
        return np.concatenate([here - pull, q - 1 - spare**2, weights * spare])

    q = floats.margins(theta[None])[0]
    theta = theta * q.min() ** (-1 / floats.net.depth)
    spare = np.sqrt(np.maximum(floats.margins(theta[None])[0] - 1, 0.0))
    begin = np.concatenate([theta, np.where(spare > 0.1, 0.1, 1.0), spare])
    found = scipy.optimize.least_squares(residual, begin, max_nfev=60, xtol=1e-12, ftol=1e-14)
    return np.asarray(found.x[:p])


def sharpened(request: Request, family: Family) -> Request | None:
    """SLSQP, then SLSQP of the frozen pattern with near-kinks held at zero."""
    moved = points.polished(request, rounds=2)
    if moved is None or not moved.theta.any():
        return None
    ratios = relative(moved, moved.theta)
    held = [np.nan_to_num(z, nan=np.inf) < NEAR for z in ratios]
    if not moved.net.relu:
        return moved
    if family.kinks == "live" and not any(mask.any() for mask in held):
        _hold_nearest(ratios, held)
    if not any(mask.any() for mask in held):
        return moved
    theta = frozen_optimum(moved, held)
    return None if theta is None else points.shaped(dict(moved.network), moved.x, moved.y, theta)


def without_dead_units(request: Request) -> Request | None:
    """A net of sparse layers without its zero neurons; other nets as they are."""
    spec = dict(request.network)
    layers = spec.get("layers")
    if not isinstance(layers, list) or any(layer["type"] != "shared" for layer in layers):
        return request
    maps = [g.copy() for g in request.net.maps]
    values = [np.concatenate([[0.0], request.theta[part]]) for part in request.net.slices]
    for _ in maps:
        for k in range(len(maps) - 1):
            alive = values[k][maps[k]].any(axis=1) & values[k + 1][maps[k + 1]].any(axis=0)
            maps[k], maps[k + 1] = maps[k][alive], maps[k + 1][:, alive]
    if not all(g.any() for g in maps):
        return None
    kept = [np.unique(g[g > 0]) for g in maps]
    indices = [
        np.where(g > 0, np.searchsorted(own, g) + 1, 0) for g, own in zip(maps, kept, strict=True)
    ]
    spec["layers"] = [{"type": "shared", "index": index.tolist()} for index in indices]
    parts = tuple(v[own] for v, own in zip(values, kept, strict=True))
    return Request(spec, request.x, request.y, parts)


def _hold_nearest(ratios: list[np.ndarray], held: list[np.ndarray]) -> None:
    flat_ratios = [np.nan_to_num(z, nan=np.inf).min(initial=np.inf) for z in ratios]
    layer = int(np.argmin(flat_ratios))
    if np.isfinite(flat_ratios[layer]):
        place = np.unravel_index(np.nanargmin(ratios[layer]), ratios[layer].shape)
        held[layer][place] = True


def frozen_optimum(request: Request, held: list[np.ndarray]) -> np.ndarray | None:
    """The optimum of the frozen pattern with z = 0 where ``held``; the same signs elsewhere."""
    ball = Ball(request, request.parameters)
    floats, length = ball.floats, ball.length
    pre = floats.pre_activations(request.theta)
    slopes = [((z > 0.0) & ~mask).astype(float) for z, mask in zip(pre, held, strict=True)]
    rows = [(k, int(i), int(j)) for k, mask in enumerate(held) for i, j in np.argwhere(mask)]
    own = ball.theta != 0.0

    def at(t: np.ndarray) -> np.ndarray:
        theta = np.zeros(len(own))
        theta[own] = t * length
        return theta

    def margins(t: np.ndarray) -> np.ndarray:
        return floats.frozen(at(t), slopes)[1] - 1.0

    def kinks(t: np.ndarray) -> np.ndarray:
        hidden = floats.frozen(at(t), slopes)[0]
        return np.array([hidden[k][i, j] for k, i, j in rows])

    with np.errstate(all="ignore"):
        try:
            found = MINIMIZE(
                lambda t: (0.5 * float(t @ t), t),
                ball.theta[own],
                jac=True,
                method="SLSQP",
                options={"maxiter": 200, "ftol": 1e-15},
                constraints=[
                    {
                        "type": "ineq",
                        "fun": margins,
                        "jac": lambda t: floats.jacobian(at(t), slopes)[:, own] * length,
                    },
                    {"type": "eq", "fun": kinks},
                ],
            ).x
        except ValueError:
            return None
    theta = at(found)
    if not np.isfinite(theta).all() or floats.margins(theta[None]).min() <= 0.0:
        return None
    now = floats.pre_activations(theta)
    same = all(
        bool((((z > 0.0) == (s > 0.0)) | mask).all())
        for z, s, mask in zip(now, slopes, held, strict=True)
    )
    return theta if same else None
