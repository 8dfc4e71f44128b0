"""certify and kkt: budgets, partial answers, questions, options, names, repetition."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest

from solvers import Budget, Certification, InputError, Verdict, certify
from solvers import kkt as kkt_question
from solvers.examples import EXAMPLES
from tests.core.tools import dense

NAMES = [name for name in EXAMPLES if name != "theorem-6.1"]
KEYS = {
    "id", "name", "verdict", "termination", "summary", "objective", "point", "feasibility", "kkt",
    "local", "global", "layers", "predictor", "theorems", "tolerances", "certificate", "versions",
    "timings",
}  # fmt: skip
SETTLED = ("infeasible", "not_kkt", "not_local_optimum", "global_optimum", "local_optimum")


def run(name: str, **options: Any) -> Certification:
    request = EXAMPLES[name].request
    return certify(request["network"], request["dataset"], request["parameters"], **options)


@cache
def plain(name: str) -> Certification:
    return run(name)


def assert_honest(body: dict[str, Any], expected: dict[str, Any]) -> None:
    """A complete body whose every settled word agrees with the known facts."""
    assert set(body) >= KEYS
    json.dumps(body, allow_nan=False)
    verdict, reason = body["verdict"], body["termination"]["reason"]
    words = {"proved": SETTLED[3:], "refuted": SETTLED[:3]}
    assert verdict in words.get(reason, ("inconclusive",))
    if verdict != "inconclusive":
        known = expected["verdict"]
        assert verdict == known or (verdict, known) == ("local_optimum", "global_optimum")
    if body["kkt"] is not None and body["kkt"]["answer"] != "unknown":
        assert body["kkt"]["answer"] == "yes"
    if body["global"] is not None and body["global"].get("lower_bound") is not None:
        optimum = expected.get("global_value", body["objective"])
        assert body["global"]["lower_bound"] <= optimum * (1.0 + 1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_expected_verdicts_of_the_papers_constructions(name: str) -> None:
    body = plain(name).to_dict()
    assert_honest(body, dict(EXAMPLES[name].expected))
    assert body["verdict"] == EXAMPLES[name].expected["verdict"]


@pytest.mark.parametrize("name", ["theorem-3.2", "lemma-c.6", "theorem-4.4-relu"])
def test_a_tiny_time_limit_says_limit(name: str) -> None:
    body = run(name, time_limit=1e-9).to_dict()
    assert body["verdict"] == "inconclusive"
    assert body["termination"]["reason"] == "limit"
    assert body["termination"]["limit"] == "time"
    assert "time limit" in body["termination"]["detail"]
    assert body["kkt"]["answer"] == body["local"]["answer"] == body["global"]["answer"] == "unknown"


def test_every_limit_is_named() -> None:
    """Theorem 4.2's point needs patterns; a budget of one pattern, of one node."""
    body = run("theorem-5.1-relu", max_patterns=1, max_nodes=1).to_dict()
    assert_honest(body, dict(EXAMPLES["theorem-5.1-relu"].expected))
    patterns = run("theorem-4.2", max_patterns=1, questions=["layers", "local"]).to_dict()
    assert_honest(patterns, dict(EXAMPLES["theorem-4.2"].expected))


@pytest.mark.parametrize("checks", [1, 2, 3, 5, 8, 13, 34, 89])
@pytest.mark.parametrize("name", ["theorem-4.2", "theorem-4.1-linear", "lemma-c.6"])
def test_cancelling_anywhere_leaves_an_honest_answer(name: str, checks: int) -> None:
    left = checks

    def cancelled() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    body = run(name, budget=Budget(time_limit=60.0, cancelled=cancelled)).to_dict()
    assert_honest(body, dict(EXAMPLES[name].expected))


@pytest.mark.parametrize("name", NAMES)
def test_partial_reports_are_complete_honest_bodies(name: str) -> None:
    reports: list[Certification] = []
    final = run(name, report=reports.append)
    assert len(reports) >= 3
    expected = dict(EXAMPLES[name].expected)
    for partial in reports:
        assert partial.partial
        assert_honest(partial.to_dict(), expected)
    assert not final.partial
    first = reports[0].to_dict()
    assert first["verdict"] == "inconclusive"
    assert first["feasibility"]["feasible"]


@pytest.mark.parametrize("question", ["kkt", "local", "global", "layers", "predictor"])
def test_questions_not_asked_are_null(question: str) -> None:
    body = run("theorem-3.1", questions=[question]).to_dict()
    for other in ("kkt", "local", "global", "layers", "predictor"):
        assert (body[other] is not None) is (other == question)
    if question in ("local", "global"):
        assert body["verdict"] == ("local_optimum" if question == "local" else "global_optimum")


def test_a_question_not_asked_counts_as_unknown_in_the_verdict() -> None:
    """Theorem 3.2's point is refuted as a local optimum: not where only kkt is asked."""
    assert run("theorem-3.2", questions=["kkt"]).verdict is Verdict.INCONCLUSIVE
    assert run("theorem-3.2", questions=["local"]).verdict is Verdict.NOT_LOCAL_OPTIMUM
    request = {"x": [[1.0]], "y": [1]}
    parameters = [[[2.0]], [[1.0]]]
    asked = certify(dense(1, 1, 1), request, parameters, questions=["kkt"])
    assert asked.verdict is Verdict.NOT_KKT
    other = certify(dense(1, 1, 1), request, parameters, questions=["predictor"])
    assert other.verdict is Verdict.INCONCLUSIVE


def test_predictor_is_null_for_relu_nets() -> None:
    assert run("theorem-3.2").to_dict()["predictor"] is None
    assert run("theorem-3.1").to_dict()["predictor"] is not None


def test_infeasible_answers_have_no_other_findings() -> None:
    body = certify(dense(1, 1, 1), {"x": [[1.0]], "y": [-1]}, [[[1.0]], [[1.0]]]).to_dict()
    assert body["verdict"] == "infeasible"
    assert body["termination"]["reason"] == "refuted"
    for key in ("kkt", "local", "global", "layers", "predictor", "objective"):
        assert body[key] is None


@pytest.mark.parametrize("name", NAMES)
def test_answers_are_closed_under_implication(name: str) -> None:
    body = plain(name).to_dict()
    local, found = body["local"], body["global"]
    if local["answer"] == "no":
        assert found["answer"] == "no"
        assert found["better_objective"] < body["objective"]
    if found["answer"] == "yes":
        assert local["answer"] == "yes"
        assert local["method"] == "global"
        slack = body["objective"] - found["lower_bound"]
        assert local["slack"] == pytest.approx(max(0.0, slack), abs=1e-15 * body["objective"])


def test_a_point_that_is_not_kkt_is_not_local_either() -> None:
    """W = 2, v = 1/2: balancing descends at first order."""
    body = certify(dense(1, 1, 1), {"x": [[1.0]], "y": [1]}, [[[2.0]], [[0.5]]]).to_dict()
    assert body["verdict"] == "not_kkt"
    assert body["local"]["answer"] == body["global"]["answer"] == "no"
    assert body["local"]["method"] == "first_order"
    assert body["global"]["better_objective"] < body["objective"]


OPTION_ERRORS: list[tuple[dict[str, Any], str]] = [
    ({"kkt_tolerance": 0.0}, "/options/kkt_tolerance"),
    ({"kkt_tolerance": "1e-6"}, "/options/kkt_tolerance"),
    ({"gap_tolerance": float("nan")}, "/options/gap_tolerance"),
    ({"kink_tolerance": -1.0}, "/options/kink_tolerance"),
    ({"resolution": 1.0}, "/options/resolution"),
    ({"time_limit": 0.0}, "/options/time_limit"),
    ({"max_patterns": 0}, "/options/max_patterns"),
    ({"max_nodes": 1.5}, "/options/max_nodes"),
    ({"max_memory_mb": 1}, "/options/max_memory_mb"),
    ({"questions": []}, "/options/questions"),
    ({"questions": ["kkt", "what"]}, "/options/questions/1"),
    ({"vectors": "some"}, "/options/vectors"),
    ({"seed": -1}, "/options/seed"),
    ({"normalize": 1}, "/options/normalize"),
    ({"normalise": True}, "/options/normalise"),
]


@pytest.mark.parametrize(("options", "pointer"), OPTION_ERRORS)
@pytest.mark.parametrize("ask", [certify, kkt_question])
def test_wrong_options_carry_pointers(options: dict[str, Any], pointer: str, ask: Any) -> None:
    with pytest.raises(InputError) as caught:
        ask(dense(1, 1, 1), {"x": [[1.0]], "y": [1]}, [[[1.0]], [[1.0]]], **options)
    assert [e.pointer for e in caught.value.errors] == [pointer]


@pytest.mark.parametrize("name", [None, "a label", "ünïcode ✓", "x" * 200])
def test_the_name_passes_through(name: str | None) -> None:
    request = EXAMPLES["theorem-3.2"].request
    for ask in (certify, kkt_question):
        answer = ask(request["network"], request["dataset"], request["parameters"], name=name)
        assert answer.to_dict()["name"] == name


@pytest.mark.parametrize("name", NAMES)
def test_the_same_request_twice_has_the_same_id(name: str) -> None:
    one, two = plain(name).to_dict(), run(name).to_dict()
    assert one["id"] == two["id"]
    assert {k: v for k, v in one.items() if k != "timings"} == {
        k: v for k, v in two.items() if k != "timings"
    }


def test_another_point_has_another_id() -> None:
    request = EXAMPLES["theorem-3.2"].request
    other = certify(request["network"], request["dataset"], [[[0, 4], [0, 0]], [[2, 0]]])
    assert other.to_dict()["id"] != run("theorem-3.2").to_dict()["id"]


def test_kkt_answers_hold_what_the_contract_lists() -> None:
    request = EXAMPLES["theorem-3.2"].request
    answer = kkt_question(request["network"], request["dataset"], request["parameters"])
    assert set(answer.to_dict()) == {
        "id", "name", "feasibility", "kkt", "tolerances", "termination", "versions", "timings",
    }  # fmt: skip
    assert answer.to_dict()["termination"]["reason"] == "proved"


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1])
def test_seeds_change_searches_and_not_facts(seed: int) -> None:
    for name in ("theorem-4.2", "theorem-3.2", "lemma-c.6"):
        assert run(name, seed=seed).verdict.value == EXAMPLES[name].expected["verdict"]


def test_point_and_objective_are_in_the_users_units() -> None:
    answer = run("theorem-3.2")
    np.testing.assert_array_equal(answer.point, [0.0, 2.0, 0.0, 0.0, 2.0, 0.0])
    assert answer.objective == 4.0
    assert answer.to_dict()["point"] == [[[0.0, 2.0], [0.0, 0.0]], [[2.0, 0.0]]]
