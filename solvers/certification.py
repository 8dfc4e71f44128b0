"""``certify`` and ``kkt``: from a request to the answer.

>>> from solvers import certify
>>> answer = certify(
...     {"type": "fully_connected", "widths": [2, 2, 1], "activation": "relu"},
...     {"x": [[1, 0.25], [-1, 0.25]], "y": [1, 1]},
...     [[[0, 2], [0, 0]], [[2, 0]]],
... )
>>> answer.verdict
<Verdict.NOT_LOCAL_OPTIMUM: 'not_local_optimum'>
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pydantic
from numpy.typing import NDArray

from solvers.answer import Json, Writer, identified, tolerances, unanswered, versions
from solvers.budget import Budget
from solvers.dataset import parse_dataset
from solvers.errors import InputError
from solvers.evidence import Attestation, attested
from solvers.findings import Answer, GlobalFinding, LayerFinding, LocalFinding, Verdict
from solvers.kinks import has_zero_input, has_zero_neuron
from solvers.network import Network
from solvers.notebook import html
from solvers.options import Options
from solvers.pipeline import Progress, close_under_implication, run
from solvers.placing import Placement, place
from solvers.pointers import field_errors
from solvers.problem import Problem
from solvers.refinement import Refinement, refine
from solvers.theorems import TheoremNote, theorems_that_apply
from solvers.wording import summary, termination

Vector = NDArray[np.float64]
Question = Literal["certify", "kkt"]


@dataclass(frozen=True)
class Certification:
    """The answer about one point; ``to_dict()`` is the body that the service sends.

    ``point`` is theta in the user's units (flat, p numbers), after scaling to margin 1, and after
    refinement where that was asked for and found an exact KKT point.
    """

    question: Question
    name: str | None
    options: Options
    placement: Placement
    progress: Progress | None
    partial: bool = False
    refinement: Refinement | None = None
    attestation: Attestation = field(default_factory=Attestation, repr=False)
    arrays: dict[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)

    @cached_property
    def verdict(self) -> Verdict:
        """The one word, first that applies."""
        if self.progress is None:
            return Verdict.INFEASIBLE if self.placement.violations else Verdict.INCONCLUSIVE
        done, asked = self.progress, self.options.questions
        if "kkt" in asked and done.kkt is not None and done.kkt.answer is Answer.NO:
            return Verdict.NOT_KKT
        local = done.local.answer if "local" in asked and done.local else Answer.UNKNOWN
        global_ = done.global_.answer if "global" in asked and done.global_ else Answer.UNKNOWN
        if local is Answer.NO:
            return Verdict.NOT_LOCAL_OPTIMUM
        if global_ is Answer.YES:
            return Verdict.GLOBAL_OPTIMUM
        return Verdict.LOCAL_OPTIMUM if local is Answer.YES else Verdict.INCONCLUSIVE

    @cached_property
    def theorems(self) -> tuple[TheoremNote, ...]:
        """Which results of the paper speak about the point."""
        return _theorems(self.placement.problem.network, self.progress)

    @property
    def point(self) -> Vector:
        """The certified parameters in the user's units (p); as given where infeasible."""
        return self.placement.user_point

    @property
    def objective(self) -> float | None:
        """1/2 ||theta||^2 in the user's units; None where infeasible."""
        if self.progress is None:
            return None
        return self.progress.point.objective * self.placement.problem.squared_unit

    @property
    def parts(self) -> Sequence[Certification]:
        """None: no answer stands within this one."""
        return ()

    def to_dict(self) -> Json:
        """The answer in plain JSON types, with its ``id``."""
        return self._body

    def _repr_html_(self) -> str:
        """How a notebook shows the answer."""
        return html(self.to_dict())

    def attested(self, budget: Budget | None) -> Certification:
        """The answer with its certificate, less what the exact checker does not confirm.

        Without a ``budget`` the certificate is written but not checked.
        """
        if self.question == "kkt":
            return self
        done, found = attested(self.placement, self.progress, self.options, budget)
        return replace(self, progress=done, attestation=found, partial=False)

    @cached_property
    def _body(self) -> Json:
        if self.partial and self.question == "certify":
            whole = self.attested(None)
            body = whole.to_dict()
            self.arrays.update(whole.arrays)
            return body
        writer = Writer(self.placement.problem, self.options)
        with np.errstate(all="ignore"):
            certify = self.question == "certify"
            body = self._certify_body(writer) if certify else self._kkt_body(writer)
        self.arrays.update(writer.arrays)
        return identified(body)

    def _shared(self, writer: Writer) -> Json:
        done = self.progress
        return {
            "name": self.name,
            "feasibility": self.placement.to_dict(),
            "kkt": self._kkt_part(writer) if "kkt" in self._answerable else None,
            "tolerances": tolerances(self.options),
            "versions": versions(),
            "timings": {} if done is None else dict(done.timings),
        }

    @property
    def _answerable(self) -> tuple[str, ...]:
        """The questions that were asked and make sense (none at an infeasible point)."""
        return () if self.placement.violations else self.options.questions

    @property
    def _unreached(self) -> str:
        return self.placement.obstacle or "the budget ran out before this question"

    def _kkt_part(self, writer: Writer) -> Json:
        done = self.progress
        if done is None or done.kkt is None:
            return dict(unanswered(self._unreached)["kkt"])
        return writer.kkt(done.kkt, done.point.theta, done.report)

    def _kkt_body(self, writer: Writer) -> Json:
        shared = self._shared(writer)
        return {**shared, "termination": termination(self, kkt_only=True)}

    def _certify_body(self, writer: Writer) -> Json:
        shared = self._shared(writer)
        return {
            "name": shared.pop("name"),
            "verdict": self.verdict.value,
            "termination": termination(self),
            "summary": summary(self),
            "objective": self.objective,
            "point": writer.user_parameters("point", self.point),
            "refinement": writer.refinement(self.refinement),
            **shared,
            **self._answers(writer),
            "theorems": [asdict(note) for note in self.theorems],
            "certificate": self.attestation.certificate,
            "self_check": {
                "checked": self.attestation.checked,
                "reason": self.attestation.reason,
            },
        }

    def _answers(self, writer: Writer) -> Json:
        """The fields local, global, layers and predictor."""
        done, ask = self.progress, self._answerable
        objective = 0.0 if done is None else done.point.objective
        open_local = LocalFinding(Answer.UNKNOWN, reason=self._unreached)
        open_global = GlobalFinding(Answer.UNKNOWN, reason=self._unreached)
        local = (done.local if done else None) or open_local
        global_ = (done.global_ if done else None) or open_global
        depth = self.placement.problem.network.depth
        layers = (done.layers if done else None) or tuple(
            LayerFinding(k + 1, open_local, open_global) for k in range(depth)
        )
        predictor = done.predictor if done and "predictor" in ask else None
        return {
            "local": writer.local(local) if "local" in ask else None,
            "global": writer.global_(global_, objective) if "global" in ask else None,
            "layers": writer.layers(layers, self.placement.theta) if "layers" in ask else None,
            "predictor": None if predictor is None else writer.predictor(predictor),
        }


def certify(
    network: Network | Mapping[str, Any],
    dataset: Mapping[str, Any],
    parameters: Any,
    *,
    name: str | None = None,
    budget: Budget | None = None,
    report: Callable[[Certification], None] | None = None,
    **options: Any,
) -> Certification:
    """Certify a parameter vector of ``network`` on ``dataset``.

    ``network`` is a specification as in the HTTP contract or a :class:`Network`; ``dataset`` has
    ``x`` (n x inputs) and ``y`` (n, +1 or -1); ``parameters`` has one array a layer. ``options``
    are the fields of :class:`~solvers.options.Options`. ``report`` receives partial answers.

    Raises :class:`~solvers.errors.InputError` naming the field that is wrong. Running out of a
    budget is not an error: the answer says what is known.
    """
    problem = build_problem(network, dataset)
    return answer("certify", problem, parameters, name, budget, report, options)


def kkt(
    network: Network | Mapping[str, Any],
    dataset: Mapping[str, Any],
    parameters: Any,
    *,
    name: str | None = None,
    budget: Budget | None = None,
    report: Callable[[Certification], None] | None = None,
    **options: Any,
) -> Certification:
    """The KKT question alone: multipliers, residual, kinks. Arguments as in :func:`certify`.

    The point is always the given one (the answer holds no other), so ``refine`` is ignored.
    """
    problem = build_problem(network, dataset)
    return answer("kkt", problem, parameters, name, budget, report, options)


def build_problem(network: Network | Mapping[str, Any], dataset: Mapping[str, Any]) -> Problem:
    """What :func:`certify` makes of a network and its data; many points may share it."""
    net = network if isinstance(network, Network) else Network.from_dict(network)
    x, y = parse_dataset(net, dataset)
    with np.errstate(all="ignore"):
        return Problem.build(net, x, y)


def answer(
    question: Question,
    problem: Problem,
    parameters: Any,
    name: str | None,
    budget: Budget | None,
    report: Callable[[Certification], None] | None,
    given: Mapping[str, Any],
) -> Certification:
    """One point of a problem that is built already; arguments as in :func:`certify`."""
    options = parse_options(given)
    if question == "kkt":
        options = options.model_copy(update={"questions": ("kkt",)})
    theta = problem.network.flatten(parameters)
    budget = budget or budget_of(options)
    with np.errstate(all="ignore"):
        budget.unit = problem.squared_unit
        placement = place(problem, theta, normalize=options.normalize)

        refinement: Refinement | None = None
        start = time.perf_counter()
        wanted = options.refine and question == "certify"
        if wanted:
            refinement, placement = refine(placement, options, budget)
        spent = {"refine": time.perf_counter() - start} if wanted else {}

    def wrap(progress: Progress | None, *, partial: bool) -> Certification:
        if progress is not None:
            progress.timings.update(spent)
        return Certification(question, name, options, placement, progress, partial, refinement)

    if placement.point is None:
        return wrap(None, partial=False).attested(budget)

    def tell(progress: Progress) -> None:
        if report is not None:
            snapshot = replace(progress, timings=dict(progress.timings))
            close_under_implication(snapshot)
            report(wrap(snapshot, partial=True))

    with np.errstate(all="ignore"):
        progress = run(placement.point, options, budget, tell)
    close_under_implication(progress)
    return wrap(progress, partial=False).attested(budget)


def parse_options(given: Mapping[str, Any]) -> Options:
    """Options with their defaults; errors point into ``/options``."""
    raw = {k: tuple(v) if k == "questions" and isinstance(v, list) else v for k, v in given.items()}
    try:
        return Options.model_validate(raw)
    except pydantic.ValidationError as error:
        raise InputError(field_errors(dict(given), error, "/options")) from None


def budget_of(options: Options) -> Budget:
    """A fresh budget from the request's limits."""
    return Budget(
        options.time_limit, options.max_patterns, options.max_nodes, options.max_memory_mb
    )


def _theorems(network: Network, progress: Progress | None) -> tuple[TheoremNote, ...]:
    if progress is None or progress.kkt is None:
        return ()
    point, tolerance = progress.point, progress.options.kink_tolerance
    return theorems_that_apply(
        network,
        kkt=progress.kkt.answer,
        zero_neurons=has_zero_neuron(network, point.theta, tolerance=tolerance),
        kinks=has_zero_input(network, point.theta, point.trace, tolerance=tolerance),
    )
