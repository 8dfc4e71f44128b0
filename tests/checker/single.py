"""Certificates of one global lower bound, straight from the method that found it."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any
from unittest import mock

import numpy as np

from solvers.certificate import GlobalLowerBound
from solvers.checker import Report
from solvers.checker.case import Case as CheckedCase
from solvers.checker.document import read
from solvers.checker.fields import Object
from solvers.checker.rules.table import GLOBAL_RULES
from solvers.checker.statement import read_statement
from solvers.checker.work import Work
from solvers.evidence.document import certificate, written
from solvers.optimality import weighted_margin as weighted
from solvers.optimality.case import Case
from tests.checker.forging import Json, checked
from tests.core.global_tools import input_size
from tests.core.tools import Matrix, Spec, case_of, point_of, problem_of


def claimed(case: Case, claim: GlobalLowerBound) -> Json:
    """The certificate of a bound on a case's problem."""
    problem = case.point.problem
    entry = written(claim, problem)
    assert entry is not None
    user = problem.to_user(case.point.theta)
    found: Json = json.loads(json.dumps(certificate(problem, user, case.options, [entry])))
    return found


def report_of(case: Case, claim: GlobalLowerBound) -> Report:
    """What the checker says about a bound."""
    return checked(claimed(case, claim))


def proved(unit: int, document: Json, evidence: Any) -> Fraction:
    """What evidence proves about the certificate's problem, in internal units."""
    plain = read(json.dumps({"statement": document["statement"], "evidence": evidence}))
    case = CheckedCase.of(read_statement(plain["statement"]), unit, Work())
    fields = Object(plain["evidence"], "evidence")
    bound = GLOBAL_RULES[fields.text("rule")](case, fields)
    fields.done()
    return bound


def any_case(spec: Spec, seed: int, examples: int, scale: float = 1.0) -> Case:
    """Random inputs of a size and weights, with the labels that the weights give."""
    rng = np.random.default_rng(seed)
    width = spec["input_size"] if "input_size" in spec else input_size(spec)
    while True:
        x: Matrix = scale * rng.normal(size=(examples, width))
        problem = problem_of(spec, x)
        theta = rng.normal(size=problem.network.size)
        y = np.sign(problem.margins(problem.from_user(theta)))
        if y.all():
            parts = [theta[s] for s in problem.network.slices]
            return case_of(point_of(spec, x, parts, y))


def by_neurons(case: Case, rng: np.random.Generator) -> GlobalLowerBound:
    """The bound of single neurons alone, at random multipliers."""
    alpha = rng.uniform(0.1, 1.0, size=case.point.problem.examples)
    tried = replace(case.kkt, multipliers=alpha)
    own = Case(case.point, case.kinks, tried, case.options, case.budget)
    with mock.patch.object(weighted, "_near_pairs", return_value=iter(())):
        (bound,) = weighted.weighted_margin(own)
    return bound.claim
