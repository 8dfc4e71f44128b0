"""Forged documents: JSON, structure, problem, and statements that are not the requester's."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from solvers import certify
from solvers.checker import check
from solvers.checker.document import MAX_BYTES
from solvers.examples import EXAMPLES
from tests.checker import kinds
from tests.checker.forging import (
    BASES,
    Forgery,
    Json,
    assert_caught,
    certificate,
    checked,
    evidence,
    honest,
    names,
    stated,
)

DEAD = "dead-neuron"
BASES[DEAD] = lambda: certificate(EXAMPLES["theorem-3.2"].request)


def put(value: Any, *path: str | int) -> Callable[[Json], None]:
    """Put a value at a place of the certificate."""

    def tamper(found: Json) -> None:
        target: Any = found
        for step in path[:-1]:
            target = target[step]
        target[path[-1]] = value

    return tamper


def text(old: str, new: str) -> Callable[[Json], str]:
    """Change the text itself, once."""

    def tamper(found: Json) -> str:
        written = json.dumps(found)
        assert old in written
        return written.replace(old, new, 1)

    return tamper


def network(value: Any, *path: str | int) -> Callable[[Json], None]:
    """Put a value into the network's description."""
    return put(value, "statement", "problem", "network", *path)


def data(value: Any, *path: str | int) -> Callable[[Json], None]:
    """Put a value into the data set."""
    return put(value, "statement", "problem", "dataset", *path)


def whole(name: str, condition: str, tamper: Callable[[Json], Any], base: str = DEAD) -> Forgery:
    """A forgery that makes the whole certificate malformed."""
    return Forgery(name, base, None, condition, tamper)


def asked(name: str, condition: str, statement: Any) -> Forgery:
    """An honest certificate that is not what was asked for."""
    return Forgery(name, DEAD, None, condition, lambda _: None, asked=json.dumps(statement))


def _problem() -> Json:
    request = EXAMPLES["theorem-3.2"].request
    return {"network": request["network"], "dataset": request["dataset"]}


def _other_problem() -> Json:
    found = copy.deepcopy(_problem())
    found["dataset"]["x"][0][1] = 0.2500000000000001
    return found


def _drop_evidence(found: Json) -> None:
    found["evidence"].pop()


def _no_claims(found: Json) -> None:
    found["statement"]["claims"] = []
    found["evidence"] = []


def _deep(found: Json) -> None:
    value: Any = 1.0
    for _ in range(40):
        value = [value]
    evidence(found, "kkt")["columns"] = value


def _wrong_verdict(found: Json) -> str:
    return json.dumps({"verdict": "global_optimum", "certificate": found})


FORGERIES = [
    whole("no JSON", "JSON", text('"format"', "format")),
    whole("not UTF-8", "JSON", lambda _: "\ud800"),
    whole("NaN", "finite number", text("2.0", "NaN")),
    whole("infinity", "finite number", text("2.0", "-Infinity")),
    whole("huge exponent", "finite number", text("2.0", "1e400")),
    whole("huge integer", "finite number", put(10**309, "statement", "point", 0, 0, 0)),
    whole("endless literal", "number", text("2.0", "0." + "1" * 500)),
    whole("endless integer", "number", text('"unit": 0', '"unit": ' + "1" * 500)),
    whole("duplicate key", "duplicate key", text('"format"', '"unit": 0, "format"')),
    whole("deep nesting", "nesting", _deep),
    whole("deeper nesting", "nesting", lambda _: "[" * 100_000),
    whole("nested numbers", "nesting", put([[[[[1.0]]]]], "statement", "point", 0)),
    whole("too long", "size", lambda found: json.dumps(found) + " " * MAX_BYTES),
    whole("a list", "object", lambda found: json.dumps([found])),
    whole("another format", "format", put("margincert/2", "format")),
    whole("no format", "missing field", text('"format"', '"form"')),
    whole("format is no string", "string", put(1, "format")),
    whole("unit is no integer", "integer", put(1.5, "unit")),
    whole("unit is true", "integer", put(True, "unit")),
    whole("unit out of range", "range", put(5000, "unit")),
    whole("unknown field", "unknown field", put(True, "checked")),
    whole("unknown statement field", "unknown field", put(True, "statement", "trusted")),
    whole("unknown tolerance", "unknown field", put(1e-3, "statement", "tolerances", "kkt")),
    whole("unknown problem field", "unknown field", put(1, "statement", "problem", "seed")),
    whole("unknown data field", "unknown field", data(1, "weights")),
    whole("no claims", "claims", _no_claims),
    whole("evidence missing", "evidence", _drop_evidence),
    whole("tolerance of one", "tolerance", put(1.0, "statement", "tolerances", "gap")),
    whole("claims are no list", "list", put({}, "statement", "claims")),
    whole("ragged data", "length", data([1.0], "x", 0)),
    whole("a label of 0", "label", data(0, "y", 0)),
    whole("a label of one half", "integer", data(0.5, "y", 0)),
    whole("a label of 2", "range", data(2, "y", 0)),
    whole("no examples", "examples", put({"x": [], "y": []}, "statement", "problem", "dataset")),
    whole("a number as text", "number", data("1", "x", 0, 0)),
    whole("a short point", "shape", put([1.0, 2.0], "statement", "point", 0)),
    whole("layers missing", "length", put([[1.0]], "statement", "point")),
    whole("activation", "activation", network("tanh", "activation")),
    whole("kind of network", "network type", network("recurrent", "type")),
    whole("skip connection", "homogeneous network", network(True, "skip_connection")),
    whole("biases everywhere", "homogeneous network", network("all", "bias")),
    whole("bias is no flag", "boolean", network(1, "first_layer_bias")),
    whole("unknown network field", "unknown field", network(2, "depth")),
    whole("one layer", "depth", network([2, 1], "widths")),
    whole("many layers", "depth", network([2] + [1] * 70, "widths")),
    whole("a large layer", "layer size", network([2, 10**6 + 1, 1], "widths")),
    whole("large layers", "network size", network([2, 1100, 1100, 800, 1], "widths")),
    whole("two outputs", "outputs", network([2, 2, 2], "widths")),
    whole("kind of layer", "layer type", network("loop", "layers", 1, "type"), "net-shared"),
    whole("layer field", "unknown field", network(1, "layers", 0, "groups"), "net-padded"),
    whole("hole in the index", "index map", network(4, "layers", 0, "index", 0, 0), "net-shared"),
    whole("channels", "convolution", network(3, "layers", 0, "channels"), "net-padded"),
    whole("window", "convolution", network(9, "layers", 0, "filter_size"), "net-padded"),
    whole("pad", "convolution", network("valid", "layers", 0, "padding"), "net-padded"),
    whole("wide pad", "convolution", network(2, "layers", 0, "pad"), "net-padded"),
    whole("padding", "convolution", network("mirror", "padding"), "net-convolutional"),
    whole("stride", "convolution", network(3, "stride"), "net-convolutional"),
    whole("planar size", "convolution", network(4, "layers", 0, "width"), "net-planar"),
    whole("planar pad", "convolution", network("valid", "layers", 0, "padding"), "net-planar"),
    whole(
        "planar padding", "convolution", network("circular", "layers", 0, "padding"), "net-planar"
    ),
    whole("another verdict", "answer", _wrong_verdict),
    Forgery(
        "unknown claim",
        DEAD,
        "not_global",
        "unknown claim",
        put("not_global", "statement", "claims", 0, "claim"),
    ),
    Forgery(
        "excused", DEAD, "kkt", "unknown field", lambda f: stated(f, "kkt").update(trusted=True)
    ),
    Forgery(
        "excused evidence",
        DEAD,
        "kkt",
        "unknown field",
        lambda f: evidence(f, "kkt").update(skip=["residual"]),
    ),
    Forgery(
        "too much work",
        DEAD,
        "feasible",
        "work limit",
        lambda f: f.update(
            statement={**f["statement"], "claims": [{"claim": "feasible"}]}, evidence=[{}]
        ),
        work=11,
    ),
    asked("no problem is asked about", "requested statement", {}),
    asked("another problem", "requested statement", {"problem": _other_problem()}),
    asked("another point", "requested statement", {"problem": _problem(), "point": [[0.0]]}),
    asked("unknown request", "unknown field", {"problem": _problem(), "options": {}}),
    asked("request is no JSON object", "object", [1]),
]


@pytest.mark.parametrize("forgery", FORGERIES, ids=names(FORGERIES))
def test_forgeries_are_caught(forgery: Forgery) -> None:
    assert_caught(forgery, honest(forgery.base))


@pytest.mark.parametrize("name", kinds.NETS)
def test_every_kind_of_network_is_read(name: str) -> None:
    """Margins that the checker computes are those of the solvers: one claim each way."""
    found = honest(f"net-{name}")
    report = checked(found)
    assert report.valid, report
    assert "feasible" in {claim.claim for claim in report.claims}


def test_what_was_asked_may_be_written_in_another_way() -> None:
    """2-2-1 as a list of layers, labels as floats: the same problem."""
    problem = _problem()
    problem["network"] = {
        "type": "layers",
        "input_size": 2,
        "activation": "relu",
        "layers": [{"type": "shared", "index": [[1, 2], [3, 4]]}, {"type": "dense", "outputs": 1}],
    }
    problem["dataset"] = {**problem["dataset"], "y": [1.0, 1.0]}
    report = check(json.dumps(honest(DEAD)), json.dumps({"problem": problem}))
    assert report.valid
    assert report.statement_checked


def test_an_answer_is_checked_with_its_verdict() -> None:
    request = EXAMPLES["theorem-3.2"].request
    body = certify(request["network"], request["dataset"], request["parameters"]).to_dict()
    report = check(json.dumps(body))
    assert report.valid
    assert report.verdict == body["verdict"] == "not_local_optimum"


def test_the_hash_does_not_depend_on_the_writing() -> None:
    found = honest(DEAD)
    rewritten = json.dumps(found, sort_keys=True, indent=1).replace("2.0", "2.000e0")
    assert checked(found).statement_sha256 == check(rewritten).statement_sha256
    moved = copy.deepcopy(found)
    moved["statement"]["tolerances"]["gap"] = 1e-7
    assert checked(found).statement_sha256 != checked(moved).statement_sha256
