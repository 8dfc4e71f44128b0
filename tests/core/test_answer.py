"""The answer's body: its id, its units, and arrays by reference."""

from __future__ import annotations

import hashlib
import io
import json
from functools import cache
from typing import Any

import numpy as np
import pytest

from solvers import certify
from solvers import kkt as kkt_question
from solvers.answer import INLINE_LIMIT, Writer, canonical_json, identified, npy_bytes
from solvers.examples import EXAMPLES
from solvers.options import Options
from tests.core.tools import Spec, dense, problem_of

NAMES = [name for name in EXAMPLES if name != "theorem-6.1"]


def body_of(name: str, **options: Any) -> dict[str, Any]:
    request = EXAMPLES[name].request
    answer = certify(
        request["network"], request["dataset"], request["parameters"], name=name, **options
    )
    return answer.to_dict()


@cache
def plain_body(name: str) -> dict[str, Any]:
    return body_of(name)


def placeholders(value: Any, identity: str) -> Any:
    """The body with its own id taken out of its addresses again."""
    if isinstance(value, str):
        return value.replace(f"/v1/certificates/{identity}/", "/v1/certificates/{id}/")
    if isinstance(value, dict):
        return {k: placeholders(v, identity) for k, v in value.items()}
    return [placeholders(v, identity) for v in value] if isinstance(value, list) else value


def expected_id(body: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON without id and timings, written out with the json module."""
    rest = {k: v for k, v in body.items() if k not in ("id", "timings")}
    rest = placeholders(rest, body["id"])
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return "cert_" + hashlib.sha256(text.encode("utf-8")).hexdigest()


@pytest.mark.parametrize("name", ["theorem-3.2", "lemma-c.6", "theorem-3.1", "theorem-4.4-relu"])
def test_id_is_the_hash_of_the_canonical_body(name: str) -> None:
    body = plain_body(name)
    assert body["id"] == expected_id(body)
    read = json.loads(json.dumps(body))
    assert expected_id(read) == body["id"]


def test_id_ignores_timings_and_sees_everything_else() -> None:
    body = {"verdict": "x", "timings": {"kkt": 1.0}, "n": 0.1}
    one = identified(dict(body))
    assert identified({**body, "timings": {"kkt": 2.0}})["id"] == one["id"]
    assert identified({**body, "n": 0.1 + 2.0**-56})["id"] != one["id"]
    assert identified({**body, "name": None})["id"] != one["id"]
    assert next(iter(one)) == "id"


def test_canonical_json_is_sorted_tight_and_finite() -> None:
    assert canonical_json({"b": [1.0, 0.1], "a": "µ"}) == '{"a":"µ","b":[1.0,0.1]}'.encode()
    for bad in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            canonical_json({"a": bad})


@pytest.mark.parametrize("name", NAMES)
def test_bodies_are_plain_json(name: str) -> None:
    body = plain_body(name)
    assert json.loads(json.dumps(body, allow_nan=False)) == body


# A net of 2 x 5001 + 5001 = 15,003 parameters: zero neurons but one.
WIDE = 5001
WIDE_SPEC: Spec = dense(2, WIDE, 1)


def wide(mode: str) -> Any:
    w, v = np.zeros((WIDE, 2)), np.zeros((1, WIDE))
    w[0], v[0, 0] = [1.0, 0.5], 1.0
    return kkt_question(WIDE_SPEC, {"x": [[1.0, 0.5]], "y": [1]}, [w, v], vectors=mode)


def wide_writer(mode: Any) -> tuple[Writer, np.ndarray]:
    problem = problem_of(WIDE_SPEC, [[1.0, 0.5]])
    theta = np.random.default_rng(0).normal(size=problem.network.size)
    return Writer(problem, Options(vectors=mode)), theta


def test_large_points_go_by_reference_with_their_hashes() -> None:
    writer, theta = wide_writer("auto")
    first, last = writer.parameters("point", theta)
    assert (first["shape"], last["shape"]) == ([WIDE, 2], [1, WIDE])
    assert first["npy"] == "/v1/certificates/{id}/arrays/point-1.npy"
    user = writer.problem.to_user(theta)
    stored = writer.arrays["point-1"]
    np.testing.assert_array_equal(stored, user[: 2 * WIDE].reshape(WIDE, 2))
    data = npy_bytes(stored)
    assert first["sha256"] == hashlib.sha256(data).hexdigest()
    np.testing.assert_array_equal(np.load(io.BytesIO(data)), stored)


def test_large_points_inline_and_left_out() -> None:
    writer, theta = wide_writer("inline")
    first, last = writer.parameters("point", theta)
    user = writer.problem.to_user(theta)
    assert np.array(first).ravel().tolist() + np.array(last).ravel().tolist() == user.tolist()
    assert writer.arrays == {}
    writer, theta = wide_writer("none")
    assert writer.parameters("point", theta) is None
    assert writer.arrays == {}


@pytest.mark.parametrize("mode", ["auto", "inline", "none"])
def test_small_vectors_are_lists_in_every_mode(mode: Any) -> None:
    writer, _ = wide_writer(mode)
    assert writer.vector("v", np.arange(3.0)) == [0.0, 1.0, 2.0]
    assert writer.vector("v", np.zeros(INLINE_LIMIT)) == [0.0] * INLINE_LIMIT
    long = writer.vector("v", np.zeros(INLINE_LIMIT + 1))
    if mode == "auto":
        assert long["shape"] == [INLINE_LIMIT + 1]
        assert set(writer.arrays) == {"v"}
    else:
        assert long == ([0.0] * (INLINE_LIMIT + 1) if mode == "inline" else None)


@pytest.mark.parametrize("mode", ["auto", "inline", "none"])
def test_a_whole_answer_about_a_large_net(mode: str) -> None:
    answer = wide(mode)
    body = answer.to_dict()
    assert body["kkt"]["answer"] == "no"
    assert body["id"] == expected_id(body)
    direction = body["kkt"]["descent_direction"]
    if mode == "none":
        assert direction is None
    elif mode == "inline":
        assert np.shape(direction[0]) == (WIDE, 2)
    else:
        assert direction[0]["npy"].startswith(f"/v1/certificates/{body['id']}/arrays/")
        assert set(answer.arrays) == {"descent-direction-1", "descent-direction-2"}


@pytest.mark.parametrize("name", ["theorem-3.2", "lemma-c.6", "theorem-3.1", "theorem-4.4-linear"])
@pytest.mark.parametrize("power", [-60, 6, 60])
def test_units_of_the_data_change_nothing_but_units(name: str, power: int) -> None:
    """x 2^(-m k), theta 2^k: objective and multipliers 4^k, distances 2^k, the rest the same."""
    request = EXAMPLES[name].request
    depth = {"theorem-3.1": 3}.get(name, 2)
    plain = plain_body(name)
    x = np.ldexp(np.array(request["dataset"]["x"], dtype=float), -depth * power)
    parameters = [np.ldexp(np.array(u, dtype=float), power) for u in request["parameters"]]
    moved = certify(request["network"], {"x": x, "y": request["dataset"]["y"]}, parameters)
    body = moved.to_dict()
    unit, square = 2.0**power, 4.0**power
    assert body["verdict"] == plain["verdict"]
    assert body["objective"] == plain["objective"] * square
    assert body["feasibility"]["margins"] == plain["feasibility"]["margins"]
    assert body["kkt"]["multipliers"] == [m * square for m in plain["kkt"]["multipliers"]]
    assert body["kkt"]["relative_residual"] == plain["kkt"]["relative_residual"]
    assert body["kkt"]["residual"] == plain["kkt"]["residual"] * unit
    for part, other in zip(body["point"], plain["point"], strict=True):
        np.testing.assert_array_equal(np.array(part), np.array(other) * unit)
    for key in ("radius", "robust_radius"):
        value = plain["local"][key]
        assert body["local"][key] == (None if value is None else value * unit)
    for w, other in zip(body["local"]["witness"], plain["local"]["witness"], strict=True):
        assert w["distance"] == other["distance"] * unit
        assert w["objective"] == other["objective"] * square
    bound = plain["global"]["lower_bound"]
    assert body["global"]["lower_bound"] == (None if bound is None else bound * square)
    assert body["global"]["gap"] == plain["global"]["gap"]


@pytest.mark.parametrize("power", [0, 20])
def test_sentences_speak_in_the_users_units(power: int) -> None:
    """Lemma C.6's bound is 5 (times 4^k); a sentence must not name the internal one."""
    request = EXAMPLES["lemma-c.6"].request
    x = np.ldexp(np.array(request["dataset"]["x"], dtype=float), -2 * power)
    parameters = [np.ldexp(np.array(u, dtype=float), power) for u in request["parameters"]]
    body = certify(request["network"], {"x": x, "y": request["dataset"]["y"]}, parameters).to_dict()
    assert body["local"]["method"] == "fixed_signs"
    value = f"{5.0 * 4.0**power:.6g}"
    numbers = [w.strip(",.()") for w in body["local"]["reason"].split()]
    named = [w for w in numbers if w.replace(".", "").replace("e", "").replace("+", "").isdigit()]
    bounds = [float(w) for w in named if w != "4.3"]
    assert all(f"{b:.6g}" == value for b in bounds)
