"""Plain sentences: the summary of an answer and why the work ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from solvers.findings import Answer, Verdict

if TYPE_CHECKING:
    from solvers.certification import Certification

_REFUTED = (Verdict.INFEASIBLE, Verdict.NOT_KKT, Verdict.NOT_LOCAL_OPTIMUM)
_PROVED = (Verdict.GLOBAL_OPTIMUM, Verdict.LOCAL_OPTIMUM)


def termination(answer: Certification, *, kkt_only: bool = False) -> dict[str, Any]:
    """``reason``, ``limit`` and ``detail`` of the answer's end."""
    if kkt_only:
        return _kkt_termination(answer)
    if answer.verdict in _PROVED:
        return {"reason": "proved", "limit": "none", "detail": "the verdict is proved"}
    if answer.verdict in _REFUTED:
        return {"reason": "refuted", "limit": "none", "detail": "the point is refuted"}
    return _open(answer)


def _kkt_termination(answer: Certification) -> dict[str, Any]:
    if answer.placement.violations:
        return {"reason": "refuted", "limit": "none", "detail": "the point is infeasible"}
    found = answer.progress.kkt if answer.progress is not None else None
    if found is not None and found.answer is not Answer.UNKNOWN:
        reason = "proved" if found.answer is Answer.YES else "refuted"
        return {"reason": reason, "limit": "none", "detail": f"KKT: {found.answer.value}"}
    return _open(answer)


def _open(answer: Certification) -> dict[str, Any]:
    done = answer.progress
    if done is None:
        detail = answer.placement.obstacle or "nothing was established"
        return {"reason": "numerical", "limit": "precision", "detail": detail}
    if done.limit is not None:
        return {"reason": "limit", "limit": done.limit, "detail": done.limit_detail}
    if answer.partial:
        return {
            "reason": "limit",
            "limit": "time",
            "detail": "the time limit was reached before every question was examined",
        }
    numerical = None if done.global_ is None else done.global_.numerical
    if numerical is not None and numerical.answer is Answer.YES:
        detail = f"the bound of {numerical.solver} meets the objective, but proves nothing"
        return {"reason": "numerical", "limit": "precision", "detail": detail}
    local = done.local.reason if done.local is not None else None
    kkt = done.kkt.reason if done.kkt is not None else None
    return {"reason": "numerical", "limit": "none", "detail": kkt or local or "not decided"}


def summary(answer: Certification) -> str:
    """One plain sentence, and a second one where refinement moved the point."""
    text, refined = _sentence(answer), answer.refinement
    if refined is None or not refined.converged or not refined.distance:
        return text
    moved = f"{refined.relative_distance:.3g}"
    return f"{text} This is about the refined point, {moved} ||theta|| from the given one."


def _sentence(answer: Certification) -> str:
    done = answer.progress
    if done is None:
        return _unplaced(answer)
    value = f"{answer.objective:.10g}" if answer.objective is not None else "?"
    verdict = answer.verdict
    if verdict is Verdict.NOT_KKT:
        return _not_kkt(answer)
    if verdict is Verdict.NOT_LOCAL_OPTIMUM:
        return (
            f"The point (objective {value}) {_kkt_words(answer)} not a local optimum: "
            f"{done.local.reason if done.local else ''}."
        )
    if verdict is Verdict.GLOBAL_OPTIMUM:
        return f"The point is a global optimum: objective {value} meets a proved lower bound."
    if verdict is Verdict.LOCAL_OPTIMUM:
        return f"The point (objective {value}) is a local optimum{_global_part(answer)}."
    return f"Not decided (objective {value}): {termination(answer)['detail']}."


def _unplaced(answer: Certification) -> str:
    wrong = answer.placement.violations
    if not wrong:
        return f"Not decided: {answer.placement.obstacle}."
    listed = ", ".join(str(i + 1) for i in wrong[:5]) + (", ..." if len(wrong) > 5 else "")
    needed = "positive" if answer.options.normalize else "at least 1"
    plural = "example" if len(wrong) == 1 else "examples"
    text = f"Infeasible: the margin of {plural} {listed} is not {needed}."
    conflict = answer.placement.data_conflict
    return text if conflict is None else f"{text} No parameters can fit these data: {conflict}."


def _not_kkt(answer: Certification) -> str:
    done = answer.progress
    assert done is not None
    assert done.kkt is not None
    relative = done.kkt.residual / done.point.norm
    text = f"Not a KKT point: all multipliers leave a residual of {relative:.3g} ||theta|| or more"
    if done.local is not None and done.local.answer is Answer.NO:
        text += ", and the descent direction reaches feasible points with smaller norm"
    if done.global_ is not None and done.global_.answer is Answer.YES:
        text += "; its objective is nevertheless within the gap tolerance of the global optimum"
    return text + "."


def _kkt_words(answer: Certification) -> str:
    done = answer.progress
    if done is not None and done.kkt is not None and done.kkt.answer is Answer.YES:
        return "is a KKT point, but"
    return "is"


def _global_part(answer: Certification) -> str:
    done = answer.progress
    assert done is not None
    found = done.global_
    if found is None or "global" not in answer.options.questions:
        return ""
    if found.answer is Answer.NO and found.better is not None:
        better = found.better.objective * answer.placement.problem.squared_unit
        return f", not a global one: a feasible point with objective {better:.10g} exists"
    text = "; whether it is a global one was not decided"
    if found.numerical is not None and found.numerical.answer is Answer.YES:
        text += f" ({found.numerical.solver} says so, without proof)"
    return text
