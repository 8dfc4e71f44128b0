"""Nothing is answered that the exact checker would not confirm.

Every yes and no is written as claims with evidence, and the certificate is checked before the
answer leaves, as far as the time limit allows. A claim that has no exact form, or that the checker
rejects, is taken back: its question becomes unknown, and a bound goes into the ``numerical`` block.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from solvers.budget import Budget
from solvers.certificate import (
    Claim,
    Feasible,
    GlobalLowerBound,
    Infeasible,
    LayerCellsBound,
    LayerLowerBound,
    PredictorBetterPoint,
    PredictorDescentWitness,
    PredictorLocalBound,
    PredictorLowerBound,
)
from solvers.checker import DEFAULT_LIMIT, Report, check
from solvers.evidence.document import certificate, written
from solvers.evidence.units import Json
from solvers.exact import float_above
from solvers.findings import (
    Answer,
    GlobalFinding,
    LayerFinding,
    LocalFinding,
    NumericalBound,
    PredictorFinding,
)
from solvers.options import Options
from solvers.pipeline import Progress
from solvers.placing import Placement
from solvers.problem import Point, Problem, exact_half_square

_PER_SECOND = 3_000_000
"""Multiplications that the checker is trusted to do in a second."""
_LEAST_WORK = 1_000_000
_PASSES = 8
_LEAST_PASSES = 4
"""Forward passes over the data that a check costs: at most, and at least, about."""
_NO_FORM = "this claim has no exact proof within the checker's limits"


@dataclass(frozen=True)
class Attestation:
    """A certificate (None: there is nothing to certify) and whether it was checked here."""

    certificate: Json | None = None
    checked: bool = False
    reason: str | None = None


def attested(
    placement: Placement, progress: Progress | None, options: Options, budget: Budget | None
) -> tuple[Progress | None, Attestation]:
    """What is left of the findings, and their certificate.

    Without a ``budget`` the certificate is written but not checked.
    """
    problem = placement.problem
    if not _within_limits(placement):
        reason = "the net and data are beyond the work limit of the exact checker"
        left = None if progress is None else _keeping(progress, set(), reason)
        return left, Attestation(reason=reason)
    claims = _claims(placement, progress)
    entries = {id(claim): entry for claim in claims if (entry := written(claim, problem))}
    kept = [claim for claim in claims if id(claim) in entries]
    if progress is not None:
        progress = _keeping(progress, {id(claim) for claim in kept}, _NO_FORM)
    if budget is not None and _allowed(budget) < _LEAST_PASSES * _pass(problem):
        budget = None
    while kept:
        document = certificate(
            problem, placement.user_point, options, [entries[id(claim)] for claim in kept]
        )
        if budget is None:
            return progress, Attestation(document)
        report = _checked(document, budget)
        if report is None or report.valid:
            return progress, Attestation(document, report is not None)
        kept, why = _held(kept, report)
        if progress is not None:
            progress = _keeping(progress, {id(claim) for claim in kept}, why)
    return progress, Attestation(reason="no claim is left to certify")


def _within_limits(placement: Placement) -> bool:
    return _PASSES * _pass(placement.problem) <= DEFAULT_LIMIT


def _pass(problem: Problem) -> int:
    """Multiplications of one forward pass over the data."""
    return problem.examples * sum(layer.outputs * layer.fan_in for layer in problem.network.layers)


def _allowed(budget: Budget) -> int:
    """Multiplications for which there is time, within the checker's own limit."""
    return min(DEFAULT_LIMIT, max(_LEAST_WORK, int(_PER_SECOND * budget.remaining)))


def _claims(placement: Placement, progress: Progress | None) -> list[Claim]:
    """Every claim once, in the order of the answer."""
    if placement.violations:
        level = 0 if placement.normalized else 1
        return [Infeasible(placement.theta, placement.violations, level)]
    if progress is None or placement.point is None:
        return []
    found: list[Claim] = [Feasible(placement.point.theta)]
    for finding in _findings(progress):
        found += [claim for claim in finding if all(claim is not other for other in found)]
    return found


def _findings(progress: Progress) -> list[Sequence[Claim]]:
    """The claims of every finding."""
    every = [progress.kkt, progress.local, progress.global_, progress.predictor]
    for layer in progress.layers or ():
        every += [layer.local, layer.global_]
    return [finding.claims for finding in every if finding is not None]


def _checked(document: Json, budget: Budget) -> Report | None:
    """The checker's report, or None where there is no time for it."""
    text = json.dumps(document, allow_nan=False)
    limit = _allowed(budget)
    report = check(text, work_limit=limit)
    short = limit < DEFAULT_LIMIT
    conditions = {report.condition, *(claim.condition for claim in report.claims)}
    return None if short and "work limit" in conditions else report


def _held(kept: list[Claim], report: Report) -> tuple[list[Claim], str]:
    """The claims that hold, and why another one does not."""
    if not report.claims:
        return [], f"the exact checker rejected the certificate: {report.reason}"
    held = [claim for claim, seen in zip(kept, report.claims, strict=True) if seen.holds]
    failed = next(seen for seen in report.claims if not seen.holds)
    return held, f"the exact checker rejected the claim {failed.claim} ({failed.reason})"


def _keeping(progress: Progress, kept: set[int], why: str) -> Progress:
    """The findings whose claims are all kept; the others become unknown."""
    left = replace(progress, timings=dict(progress.timings))
    if left.kkt is not None and not _all_kept(left.kkt.claims, kept):
        left.kkt = replace(left.kkt, answer=Answer.UNKNOWN, claims=(), reason=why)
    if left.local is not None:
        left.local = _local(left.local, kept, why)
    if left.global_ is not None:
        left.global_ = _global(left.global_, kept, why)
    if left.local is not None and left.global_ is not None:
        whole = left.point.exact_objective
        left.local, left.global_ = _closed(left.local, left.global_, whole)
    if left.layers is not None:
        left.layers = tuple(_layer(left.point, f, kept, why) for f in left.layers)
    if left.predictor is not None and not _all_kept(left.predictor.claims, kept):
        left.predictor = _predictor(left.predictor, kept, why)
    return left


def _layer(point: Point, finding: LayerFinding, kept: set[int], why: str) -> LayerFinding:
    part = point.problem.network.slices[finding.layer - 1]
    local, global_ = _local(finding.local, kept, why), _global(finding.global_, kept, why)
    objective = exact_half_square(point.theta[part])
    return LayerFinding(finding.layer, *_closed(local, global_, objective))


def _closed(
    local: LocalFinding, global_: GlobalFinding, objective: Fraction
) -> tuple[LocalFinding, GlobalFinding]:
    """A global optimum is a local one; a point that is no local optimum is no global one."""
    if global_.answer is Answer.YES and local.answer is Answer.UNKNOWN:
        assert global_.lower_bound is not None
        slack = max(0.0, float_above(objective - Fraction(global_.lower_bound)))
        reason = "the point is a global optimum within the gap tolerance"
        local = LocalFinding(
            Answer.YES, "global", slack=slack, reason=reason, claims=global_.claims
        )
    if local.answer is Answer.NO and global_.answer is Answer.UNKNOWN:
        best = min(local.witness, key=lambda point: point.objective)
        global_ = replace(
            global_,
            answer=Answer.NO,
            method="better_point",
            better=best,
            reason="not even a local optimum",
            claims=(*global_.claims, *local.claims),
        )
    return local, global_


def _all_kept(claims: Sequence[Claim], kept: set[int]) -> bool:
    return all(id(claim) in kept for claim in claims)


def _local(finding: LocalFinding, kept: set[int], why: str) -> LocalFinding:
    if finding.answer is Answer.UNKNOWN or _all_kept(finding.claims, kept):
        return finding
    return LocalFinding(Answer.UNKNOWN, reason=f"{finding.reason or finding.method}; but {why}")


def _global(finding: GlobalFinding, kept: set[int], why: str) -> GlobalFinding:
    """A bound that is not kept becomes numerical; a better point alone still makes a no."""
    if _all_kept(finding.claims, kept):
        return finding
    claims = tuple(claim for claim in finding.claims if id(claim) in kept)
    lost = [claim for claim in finding.claims if id(claim) not in kept]
    changed = replace(finding, claims=claims)
    if any(_is_bound(claim) for claim in lost) and finding.lower_bound is not None:
        bound = NumericalBound(
            Answer.YES if finding.answer is Answer.YES else Answer.UNKNOWN,
            finding.lower_bound,
            "margincert, in floating point",
            0.0,
        )
        changed = replace(changed, lower_bound=None, numerical=bound)
    better_is_kept = finding.answer is Answer.NO and any(not _is_bound(c) for c in claims)
    if better_is_kept or finding.answer is Answer.UNKNOWN:
        return changed
    reason = f"{finding.reason or finding.method}; but {why}"
    return replace(changed, answer=Answer.UNKNOWN, method=None, better=None, reason=reason)


def _predictor(finding: PredictorFinding, kept: set[int], why: str) -> PredictorFinding:
    """What the kept claims still prove; local is global where the norm is convex."""
    claims = tuple(claim for claim in finding.claims if id(claim) in kept)
    bounds = [claim.value for claim in claims if isinstance(claim, PredictorLowerBound)]
    bound = max(bounds, default=None)
    refuting = PredictorBetterPoint | PredictorDescentWitness
    better = any(isinstance(claim, refuting) for claim in claims)
    global_, local = finding.global_, finding.local
    if global_ is Answer.YES and bound != finding.lower_bound:
        global_ = Answer.UNKNOWN
    if global_ is Answer.NO and not better:
        global_ = Answer.UNKNOWN
    proves = {Answer.YES: PredictorLocalBound, Answer.NO: PredictorDescentWitness}
    known = proves.get(local)
    own = known is not None and any(isinstance(claim, known) for claim in claims)
    by_global = local is global_ and (local is Answer.YES or finding.p >= 1.0)
    if not (own or by_global):
        local = Answer.UNKNOWN
    reason = why if (local, global_) != (finding.local, finding.global_) else finding.reason
    return replace(
        finding, local=local, global_=global_, lower_bound=bound, claims=claims, reason=reason
    )


def _is_bound(claim: Claim) -> bool:
    return isinstance(claim, GlobalLowerBound | LayerLowerBound | LayerCellsBound)
