"""Is the point's linear predictor a separator of least norm?

min ||beta|| subject to y_i <beta, x_i> >= 1, in the norm that the architecture induces (see
:mod:`solvers.predictor.norms`; for diagonal nets of depth 2 this is Problem 2 of Vardi, Shamir and
Srebro 2022). A KKT point of Problem 1 need not solve it: at the point of Theorem 4.1, beta = (1, 0)
is not even a local optimum (Remark 4.1).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from solvers.budget import Budget
from solvers.certificate import (
    Claim,
    PredictorBetterPoint,
    PredictorDescentWitness,
    PredictorLocalBound,
    PredictorLowerBound,
)
from solvers.errors import BudgetExceeded, ContradictionError
from solvers.findings import Answer, PredictorFinding
from solvers.network import Network
from solvers.predictor.feasible import scaled_to_margin_one
from solvers.predictor.margin import hard_margin_svm
from solvers.predictor.norms import ROUNDING, NormName, NormValue, PredictorNorm, induced_norm
from solvers.predictor.programs import least_fourier_l1, least_weighted_l1
from solvers.predictor.quasinorm import LocalQuasinorm, local_quasinorm
from solvers.predictor.vertices import MAX_BASES, basis_count, least_vertex
from solvers.problem import Problem

Vector = NDArray[np.float64]
Matrix = NDArray[np.float64]

NO_ALPHA: Vector = np.zeros(0)
"""``alpha`` of a bound that was proved by enumerating vertices, not by a dual vector."""

_REWEIGHTINGS = 4


@dataclass(frozen=True)
class _Search:
    """What a method found: a dual vector, candidates for the optimum, and local optimality.

    ``enumerated`` is a lower bound proved by enumeration; ``local`` is None where local optima are
    global, ``proof`` its claims; ``note`` says what was left undone.
    """

    alpha: Vector | None = None
    candidates: tuple[Vector, ...] = ()
    enumerated: float = 0.0
    local: Answer | None = None
    proof: tuple[Claim, ...] = ()
    note: str | None = None


@dataclass(frozen=True)
class _Task:
    rows: Matrix
    beta: Vector
    norm: PredictorNorm
    gap_tolerance: float
    budget: Budget


def predictor_answer(
    problem: Problem, theta: Vector, *, gap_tolerance: float, budget: Budget
) -> PredictorFinding | None:
    """The linear predictor of ``theta`` (p), scaled to least margin 1, against the least norm.

    None for ReLU networks, for linear ones whose induced norm has no name (sparse or shared layers
    other than full-width circular convolutions; diagonal and convolutional first layers with a
    bias), and where the predictor has no margin that could be proved positive.

    ``beta``, ``objective``, ``optimum`` and ``lower_bound`` are in internal units, in which the
    inputs are divided by 2**(shift m): multiply by 2**(-shift m) for the user's.

    Claims
        global yes: no separator's norm is below ``lower_bound``, and the objective exceeds it by at
        most ``gap_tolerance``, relatively. global no: some separator with proved margins has norm
        ``optimum``, smaller by more than that. local yes (p < 1): no separator within a ball of
        radius at least 1e-6 is better, up to a second-order small slack. local no: proved
        separators stay better at all distances down to the resolution. All about the exact floats
        ``beta``; the norm itself is computed to 1e-12.
    Because
        any alpha >= 0 bounds the dual; concave functions have their minima at vertices. Local is
        global where the norm is convex.
    Silent when
        p < 1 and there are more than 20,000 bases, or p < 1 in the Fourier domain, unless the
        bound by the convex minorant happens to be tight.
    See
        Gunasekar et al. (2018); modules norms, vertices and quasinorm.
    """
    norm = induced_norm(problem.network)
    if norm is None:
        return None
    rows = problem.y[:, None] * problem.x
    beta = scaled_to_margin_one(rows, linear_predictor(problem.network, theta))
    if beta is None:
        return None
    task = _Task(rows, beta, norm, gap_tolerance, budget)
    try:
        search = _METHODS[norm.name](task)
    except BudgetExceeded as stopped:
        search = _Search(note=str(stopped))
    return _finding(task, search)


def linear_predictor(network: Network, theta: Vector) -> Vector:
    """The vector beta (d) with Phi(theta; x) = <beta, x>, for a linear network."""
    signal = np.ones((1, 1))
    for layer, part in zip(reversed(network.layers), reversed(network.slices), strict=True):
        signal = layer.adjoint(theta[part], signal)
    beta: Vector = signal[0]
    return beta


def _finding(task: _Task, search: _Search) -> PredictorFinding:
    objective = task.norm.of(task.beta)
    bound, claims = _proved_bound(task, search)
    if bound > objective.upper:
        raise ContradictionError(
            f"a separator of norm {objective.upper!r} lies below the proved bound {bound!r}"
        )
    best, better = _best(task, search, objective)
    global_ = _decide(objective, best, bound, task.gap_tolerance)
    local = global_ if task.norm.is_convex else search.local or Answer.UNKNOWN
    if global_ is Answer.YES:
        local = Answer.YES
    if local is Answer.NO:
        global_ = Answer.NO
    return PredictorFinding(
        norm=task.norm.name,
        p=task.norm.p,
        beta=task.beta,
        objective=objective.value,
        optimum=min(best.value, objective.value),
        local=local,
        global_=global_,
        lower_bound=bound if bound > 0.0 else None,
        reason=_reason(search, local, global_),
        claims=(*claims, *_better_claims(task, better, best, global_), *search.proof),
    )


def _better_claims(
    task: _Task, better: Vector | None, best: NormValue, global_: Answer
) -> tuple[Claim, ...]:
    """What refutes beta; a separator that may owe its lead to rounding refutes nothing."""
    if better is None or global_ is not Answer.NO:
        return ()
    return (PredictorBetterPoint(task.norm.name, task.norm.p, better, best.upper),)


def _proved_bound(task: _Task, search: _Search) -> tuple[float, tuple[Claim, ...]]:
    """The better of the dual bound and the enumerated one, each as a claim."""
    name, p = task.norm.name, task.norm.p
    claims: list[Claim] = []
    dual = 0.0
    if search.alpha is not None:
        dual = task.norm.lower_bound(task.rows, search.alpha)
    if search.alpha is not None and dual > 0.0:
        claims.append(PredictorLowerBound(name, p, dual, search.alpha))
    if search.enumerated > dual:
        claims.append(PredictorLowerBound(name, p, search.enumerated, NO_ALPHA))
    return max(dual, search.enumerated), tuple(claims)


def _best(task: _Task, search: _Search, objective: NormValue) -> tuple[NormValue, Vector | None]:
    """The least norm found of any exactly feasible predictor, and that predictor if not beta."""
    best, better = objective, None
    for candidate in search.candidates:
        feasible = scaled_to_margin_one(task.rows, candidate)
        if feasible is not None:
            value = task.norm.of(feasible)
            if value.upper < best.upper:
                best, better = value, feasible
    return best, better


def _decide(objective: NormValue, best: NormValue, bound: float, tolerance: float) -> Answer:
    if objective.upper - bound <= tolerance * objective.lower:
        return Answer.YES
    if objective.lower - best.upper > tolerance * objective.upper:
        return Answer.NO
    return Answer.UNKNOWN


def _reason(search: _Search, local: Answer, global_: Answer) -> str | None:
    if Answer.UNKNOWN not in (local, global_):
        return None
    return search.note or "the proved bound and the best separator found leave the gap open"


def _euclidean(task: _Task) -> _Search:
    n, d = task.rows.shape
    task.budget.require_memory(3 * n * d)
    solved = hard_margin_svm(task.rows, task.budget)
    if solved is None:
        return _Search(note="the support vector machine found no margin in floating point")
    return _Search(alpha=solved[1], candidates=(solved[0],))


def _absolute(task: _Task) -> _Search:
    solved = least_weighted_l1(task.rows, np.ones(task.rows.shape[1]), task.budget)
    if solved is None:
        return _Search(note="the linear program was not solved")
    return _Search(alpha=solved[1], candidates=(solved[0],))


def _quasi(task: _Task) -> _Search:
    """Coordinates, p < 1: local test, bound and start from l_1, then vertices."""
    local = local_quasinorm(task.rows, task.beta, task.norm.p, gap_tolerance=task.gap_tolerance)
    search = _absolute(task)
    found = (*search.candidates, *(() if local.better is None else (local.better,)))
    proof = _local_claims(task, local)
    search = replace(search, candidates=found, local=local.answer, proof=proof, note=local.reason)
    try:
        return _enumerated(task, search)
    except BudgetExceeded as stopped:
        return replace(search, note=str(stopped))


def _local_claims(task: _Task, local: LocalQuasinorm) -> tuple[Claim, ...]:
    """What proves the local answer."""
    name, p = task.norm.name, task.norm.p
    if local.curve:
        return (PredictorDescentWitness(name, p, local.curve),)
    ball = local.ball
    if ball is None:
        return ()
    value = ball.total ** (1.0 / p) * (1.0 - ROUNDING * (1.0 + 1.0 / p))
    parts = ball.center, ball.examples, ball.weights, ball.inverse
    return (PredictorLocalBound(name, p, value, ball.radius, *parts),)


def _enumerated(task: _Task, search: _Search) -> _Search:
    n, d = task.rows.shape
    bases = basis_count(n, d)
    if bases > MAX_BASES:
        note = f"{bases} bases, {MAX_BASES} are enumerated at most"
        return replace(search, candidates=search.candidates + _reweighted(task), note=note)
    vertex = least_vertex(task.rows, task.norm.p, task.budget)
    if vertex is None:
        return search
    return replace(
        search,
        candidates=(*search.candidates, vertex.beta),
        enumerated=vertex.lower_bound,
    )


def _reweighted(task: _Task) -> tuple[Vector, ...]:
    """Vertices by reweighted l_1 (Candes, Wakin, Boyd 2008), started at beta."""
    beta, found = task.beta, []
    for _ in range(_REWEIGHTINGS):
        sizes = np.abs(beta) / float(np.abs(beta).max())
        solved = least_weighted_l1(task.rows, (sizes + 1e-3) ** (task.norm.p - 1.0), task.budget)
        if solved is None:
            break
        beta = solved[0]
        found.append(beta)
    return tuple(found)


def _fourier(task: _Task) -> _Search:
    """The l_1 program; for p < 1 its bound still holds, and single frequencies are tried too."""
    local = None if task.norm.is_convex else Answer.UNKNOWN
    solved = least_fourier_l1(task.rows, task.budget)
    if solved is None:
        return _Search(local=local, note="the cone program was not solved")
    beta, alpha = solved
    if task.norm.is_convex:
        return _Search(alpha=alpha, candidates=(beta,))
    note = "the quasi-norm of complex coefficients is bounded by its convex minorant only"
    return _Search(alpha, (beta, *_single_frequencies(task)), local=local, note=note)


def _single_frequencies(task: _Task) -> tuple[Vector, ...]:
    """For each frequency alone, the least-norm separator on it, where there is one."""
    d = task.rows.shape[1]
    spectra = np.fft.rfft(task.rows, norm="ortho", axis=1)
    found = []
    for g in range(spectra.shape[1]):
        task.budget.check()
        solved = hard_margin_svm(np.column_stack([spectra[:, g].real, spectra[:, g].imag]))
        if solved is not None:
            spectrum = np.zeros(spectra.shape[1], dtype=np.complex128)
            spectrum[g] = solved[0][0] + 1j * solved[0][1]
            found.append(np.fft.irfft(spectrum, n=d, norm="ortho"))
    return tuple(found)


_METHODS: Mapping[NormName, Callable[[_Task], _Search]] = {
    "l2": _euclidean,
    "l1": _absolute,
    "lp": _quasi,
    "fourier_lp": _fourier,
}
