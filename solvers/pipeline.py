"""The pipeline from a point to its findings, in order, on one screen.

Each stage adds what it established to a :class:`Progress`; when a budget runs out the rest stays
unknown. Findings whose *numbers* contradict each other raise: that is a bug, never a vote.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from solvers.budget import Budget
from solvers.certificate import BetterPoint
from solvers.errors import BudgetExceeded, ContradictionError, Limit
from solvers.findings import (
    Answer,
    FeasiblePoint,
    GlobalFinding,
    LayerFinding,
    LocalFinding,
    PredictorFinding,
)
from solvers.kinks import find_kinks
from solvers.layerwise import layer_findings
from solvers.optimality.adjacent_cells import adjacent_cells
from solvers.optimality.bound import Bound
from solvers.optimality.case import Case
from solvers.optimality.curved_descent import curved_descent
from solvers.optimality.descent import first_order_descent, nearby_cells
from solvers.optimality.fixed_signs import fixed_signs
from solvers.optimality.global_bounds import GLOBAL_BOUNDS
from solvers.optimality.growing_neuron import growing_neuron
from solvers.optimality.kinked_cells import kinked_cells
from solvers.optimality.pattern_search import pattern_search
from solvers.optimality.second_order import (
    curved_multipliers,
    second_order_necessary,
    second_order_sufficient,
)
from solvers.optimality.shared_tree import shared_tree
from solvers.optimality.sign_cells import sign_cells
from solvers.optimality.sign_tree import sign_tree
from solvers.optimality.snapping import carried_back, exact_kkt_case, snapped_case
from solvers.optimality.spatial_bound import spatial_bound
from solvers.optimality.support_tree import support_tree
from solvers.optimality.width_tree import width_tree
from solvers.options import Options, Question
from solvers.predictor import predictor_answer
from solvers.problem import Point
from solvers.search import better_points
from solvers.stationarity import KktFinding, KktReport, kkt_finding, kkt_report, trade_off

LocalTest = Callable[[Case], LocalFinding | None]

LOCAL_TESTS: tuple[LocalTest, ...] = (
    fixed_signs,
    sign_cells,
    first_order_descent,
    adjacent_cells,
    growing_neuron,
    sign_tree,
    second_order_sufficient,
    second_order_necessary,
    curved_multipliers,
    kinked_cells,
    nearby_cells,
    pattern_search,
    curved_descent,
)
"""Cheap and conclusive first; each answers or stays silent."""

GlobalSearch = Callable[[Case, list[FeasiblePoint]], list[Bound]]

GLOBAL_SEARCHES: tuple[GlobalSearch, ...] = (width_tree, support_tree, shared_tree)
"""Bounds by branching, each for its own kind of net, from the point and better ones known."""


@dataclass
class Progress:
    """What is established so far about one feasible point."""

    point: Point
    options: Options
    kkt: KktFinding | None = None
    report: KktReport | None = None
    local: LocalFinding | None = None
    global_: GlobalFinding | None = None
    layers: tuple[LayerFinding, ...] | None = None
    predictor: PredictorFinding | None = None
    limit: Limit | None = None
    limit_detail: str = ""
    timings: dict[str, float] = field(default_factory=dict)

    def asks(self, question: Question) -> bool:
        """Whether the request asks this question."""
        return question in self.options.questions

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a stage, and turn an exhausted budget into unanswered questions."""
        start = time.perf_counter()
        try:
            yield
        except BudgetExceeded as stop:
            self.limit, self.limit_detail = stop.limit, str(stop)
        finally:
            self.timings[name] = time.perf_counter() - start


def run(
    point: Point, options: Options, budget: Budget, report: Callable[[Progress], None]
) -> Progress:
    """Answer every question that ``options`` asks about ``point``."""
    network = point.problem.network
    progress = Progress(point, options)
    report(progress)
    kinks = find_kinks(network, point.theta, point.trace, tolerance=options.kink_tolerance)
    start = time.perf_counter()
    multipliers = kkt_finding(point, kinks, options, budget)
    progress.kkt = multipliers
    progress.timings["kkt"] = time.perf_counter() - start
    report(progress)
    if options.questions == ("kkt",):
        with progress.stage("report"):
            progress.report = kkt_report(point, multipliers)
            curve = trade_off(point, kinks, multipliers, budget)
            progress.report = replace(progress.report, trade_off=curve)
        report(progress)
    case = Case(point, kinks, multipliers, options, budget)
    bounds: list[Bound] = []
    if progress.asks("local") or progress.asks("global"):
        with progress.stage("global"):
            for method in GLOBAL_BOUNDS:
                bounds.extend(method(case))
        progress.global_ = _weigh(case, bounds, [], search=False)
        report(progress)
        with progress.stage("local"):
            progress.local = _local(case, progress.global_)
        progress.local = progress.local or _open_local(case, progress)
        progress.global_ = _weigh(case, bounds, list(progress.local.witness), search=False)
        report(progress)
    if progress.asks("layers"):
        with progress.stage("layers"):
            progress.layers = layer_findings(case)
        report(progress)
    if progress.asks("predictor") and network.is_linear:
        with progress.stage("predictor"):
            progress.predictor = predictor_answer(
                point.problem, point.theta, gap_tolerance=options.gap_tolerance, budget=budget
            )
        report(progress)
    if progress.asks("global"):
        with progress.stage("search"):
            _search(case, progress, bounds)
        report(progress)
        with progress.stage("numerical"):
            _ask_numerically(case, progress, bounds)
    _check_consistent(progress)
    return progress


def _search(case: Case, progress: Progress, bounds: list[Bound]) -> None:
    """Branch for a bound and look for better points, where the question is still open."""
    found, local = progress.global_, progress.local
    if found is None or local is None:
        return
    known = list(local.witness)
    if found.answer is not Answer.YES:
        for branching in GLOBAL_SEARCHES:
            bounds.extend(branching(case, known))
        progress.global_ = _weigh(case, bounds, known, search=False)
    progress.global_ = _weigh(case, bounds, known, search=True)
    if local.answer is Answer.UNKNOWN:
        progress.local = _global_is_local(case, progress.global_) or local


def _ask_numerically(case: Case, progress: Progress, bounds: list[Bound]) -> None:
    """Where the global question is open: a bound without proof, perhaps a better point."""
    found, local = progress.global_, progress.local
    if found is None or local is None or found.answer is not Answer.UNKNOWN:
        return
    known = list(local.witness)
    asked = spatial_bound(case, known)
    if asked.better is not None:
        known.append(asked.better)
    weighed = _weigh(case, bounds, known, search=False)
    reason = weighed.reason
    if weighed.answer is Answer.UNKNOWN:
        reason = f"{reason}; {asked.remark}"
    progress.global_ = replace(weighed, numerical=asked.numerical, reason=reason)


def _local(case: Case, found: GlobalFinding) -> LocalFinding | None:
    """The first local test that answers; a global optimum is a local one."""
    implied = _global_is_local(case, found)
    if implied is not None:
        return implied
    for exact in (snapped_case, exact_kkt_case):
        near = exact(case)
        finding = None if near is None else _first_finding(near)
        if near is not None and finding is not None:
            return carried_back(case, near, finding)
    return None


def _global_is_local(case: Case, found: GlobalFinding) -> LocalFinding | None:
    if found.answer is not Answer.YES or found.lower_bound is None:
        return None
    return LocalFinding(
        Answer.YES,
        "global",
        slack=case.slack_above(found.lower_bound),
        reason="the point is a global optimum within the gap tolerance",
        claims=found.claims,
    )


def _first_finding(case: Case) -> LocalFinding | None:
    for test in LOCAL_TESTS:
        finding = test(case)
        if finding is not None:
            return finding
    return None


def _open_local(case: Case, progress: Progress) -> LocalFinding:
    detail = [progress.limit_detail] if progress.limit else []
    return LocalFinding(
        Answer.UNKNOWN, reason="; ".join(case.tried + detail) or "no method applies"
    )


def _weigh(
    case: Case, bounds: list[Bound], known: list[FeasiblePoint], *, search: bool
) -> GlobalFinding:
    """Compare the best proved bound with the point and the best feasible point known."""
    objective, tolerance = case.point.objective, case.options.gap_tolerance
    strongest = max(bounds, key=lambda b: b.value, default=None)
    value = None if strongest is None or not strongest.value > 0.0 else strongest.value
    claims = () if strongest is None or value is None else (strongest.claim,)
    history = next((bound.history for bound in bounds if bound.history), ())
    if value is not None and strongest is not None and objective - value <= tolerance * objective:
        return GlobalFinding(
            Answer.YES,
            strongest.method,
            value,
            history=history,
            claims=claims,
            reason="the proved lower bound meets the objective",
        )
    best = _best_known(case, bounds, known, search=search)
    if best is not None and case.reference.decrease(best) > tolerance * objective:
        claim = BetterPoint(case.point.theta, best.theta, best.objective)
        return GlobalFinding(
            Answer.NO,
            "better_point",
            value,
            best,
            history=history,
            claims=(*claims, claim),
            reason="a feasible point with smaller norm is attached",
        )
    reason = "no proved lower bound meets the objective, and no better point was found"
    return GlobalFinding(Answer.UNKNOWN, None, value, history=history, claims=claims, reason=reason)


def _best_known(
    case: Case, bounds: list[Bound], known: list[FeasiblePoint], *, search: bool
) -> FeasiblePoint | None:
    candidates = list(known)
    for bound in bounds:
        if bound.candidate is not None:
            point = case.reference.feasible(bound.candidate)
            if point is not None:
                candidates.append(point)
    proved = max((b.value for b in bounds), default=0.0)
    lowest = min((c.objective for c in candidates), default=case.point.objective)
    if search and lowest - proved > case.options.gap_tolerance * lowest:
        try:
            candidates.extend(better_points(case, proved))
        except BudgetExceeded:
            if not candidates:
                raise
    return min(candidates, key=lambda c: c.objective, default=None)


def _check_consistent(progress: Progress) -> None:
    """Raise where a feasible point lies below a proved bound."""
    found, local, objective = progress.global_, progress.local, progress.point.objective
    if found is None or local is None:
        return
    lowest = min(
        [objective, *(w.objective for w in local.witness)]
        + ([found.better.objective] if found.better else [])
    )
    if found.lower_bound is not None and lowest < found.lower_bound * (1.0 - 1e-13):
        raise ContradictionError("a feasible point lies below a proved global bound")
    if local.answer is Answer.YES and local.radius is not None and found.better is not None:
        inside = found.better.distance <= local.radius
        if inside and found.better.objective < objective - (local.slack or 0.0) * (1 + 1e-9):
            raise ContradictionError("a feasible point in the ball lies below the local bound")


def close_under_implication(progress: Progress) -> None:
    """Local no gives global no; global yes gives local yes (theory, section 0)."""
    local, found = progress.local, progress.global_
    if local is None or found is None:
        return
    if local.answer is Answer.NO and found.answer is Answer.UNKNOWN:
        best = min(local.witness, key=lambda w: w.objective)
        claim = BetterPoint(progress.point.theta, best.theta, best.objective)
        progress.global_ = replace(
            found,
            answer=Answer.NO,
            method="better_point",
            better=best,
            claims=(*found.claims, claim),
            reason="not even a local optimum",
        )
