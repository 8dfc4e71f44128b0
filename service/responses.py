"""The shape of answers, for the OpenAPI document and for readers.

Answers are written by the solvers and sent as the bytes that are stored; these models describe
them and are checked against real answers in the tests.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

Word = Literal["yes", "no", "unknown"]
Point = Annotated[
    Any,
    WithJsonSchema(
        {
            "description": "Shaped like `parameters`; more than 10,000 numbers by reference.",
            "anyOf": [
                {"type": "array", "items": {}},
                {
                    "type": "object",
                    "properties": {
                        "npy": {"type": "string"},
                        "shape": {"type": "array", "items": {"type": "integer"}},
                    },
                    "required": ["npy", "shape"],
                },
                {"type": "null"},
            ],
        }
    ),
]


class ResponseModel(BaseModel):
    """Later versions may add fields; numbers are finite."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class Termination(ResponseModel):
    """Why the work stopped."""

    reason: Literal["proved", "refuted", "limit", "numerical"]
    limit: Literal["none", "time", "memory", "patterns", "nodes", "precision"]
    detail: str | None


class Violation(ResponseModel):
    """An example (counted from 1) whose margin is too small."""

    example: int
    margin: float


class Feasibility(ResponseModel):
    """Margins after the parameters were multiplied by ``scale``."""

    feasible: bool | None
    scale: float | None
    margins: Point
    violations: list[Violation]
    reason: str | None


class Refinement(ResponseModel):
    """Whether an exact KKT point was found close by; distances from the placed point."""

    converged: bool
    distance: float | None
    relative_distance: float | None
    residual_before: float | None
    residual_after: float | None
    reason: str | None


class Kink(ResponseModel):
    """A pre-activation at zero that carries weight, and the slope chosen there."""

    layer: int
    neuron: int
    example: int
    slope: float


class Kkt(ResponseModel):
    """Is the point an (eps, delta)-KKT point?"""

    answer: Word
    multipliers: Point
    unique: bool | None
    residual: float | None
    relative_residual: float | None
    complementarity: float | None
    layer_residuals: list[float] | None
    kinks: list[Kink]
    kink_count: int
    goldstein_radius: float | None
    descent_direction: Point
    reason: str | None
    report: KktReport | None


class NeuronBalance(ResponseModel):
    """The worst neuron (or filter) of a hidden layer: (||in||^2 - ||out||^2) / ||theta||^2."""

    layer: int
    neuron: int
    difference: float
    typical: float


class BindingExample(ResponseModel):
    """One of the examples of least margin."""

    example: int
    margin: float
    multiplier: float


class TradeOff(ResponseModel):
    """The least relative residual found where sum lambda (q - 1) <= complementarity ||theta||^2."""

    complementarity: float
    relative_residual: float


class KktReport(ResponseModel):
    """Descriptive numbers, where only the KKT question was asked; none of them is a claim."""

    support: int
    effective_support: float
    direction_cosine: float
    normalized_margin: float
    layer_shares: list[float]
    neuron_balance: list[NeuronBalance]
    binding_examples: list[BindingExample]
    candidates: int
    trade_off: list[TradeOff] | None


class Witness(ResponseModel):
    """An exactly feasible better point at a distance."""

    point: Point
    distance: float
    objective: float


class Local(ResponseModel):
    """Is the point a local optimum?"""

    answer: Word
    method: str | None
    radius: float | None
    slack: float | None
    witness: list[Witness] | None
    robust_radius: float | None
    reason: str | None


class Numerical(ResponseModel):
    """What a floating-point solver says without proof; it never makes an answer."""

    answer: Word
    lower_bound: float
    solver: str
    tolerance: float


class SearchRow(ResponseModel):
    """After so many nodes of a search: what was proved, and the best point known."""

    nodes: int
    lower_bound: float
    incumbent: float


class Global(ResponseModel):
    """Is the point a global optimum?"""

    answer: Word
    method: str | None
    lower_bound: float | None
    gap: float | None
    better_point: Point
    better_objective: float | None
    numerical: Numerical | None
    history: list[SearchRow] | None = Field(
        None, max_length=100, description="How branch and bound went, where it was needed."
    )
    reason: str | None


class Layer(ResponseModel):
    """The same questions for one layer (counted from 1), the others frozen."""

    layer: int
    local: Local | None
    global_: Annotated[Global | None, Field(alias="global")]


class Predictor(ResponseModel):
    """A linear network's predictor and its norm against the least norm of any separator."""

    norm: Literal["l2", "l1", "lp", "fourier_lp"]
    p: float
    beta: Point
    objective: float
    optimum: float | None
    local: Word
    global_: Annotated[Word, Field(alias="global")]


class Theorem(ResponseModel):
    """A result of the paper: whether it applies here, and what it then says."""

    name: str
    applies: bool
    says: str


class KktAnswer(ResponseModel):
    """The answer of /v1/kkt."""

    id: str = Field(pattern="^cert_[0-9a-f]{64}$")
    name: str | None
    feasibility: Feasibility
    kkt: Kkt | None
    termination: Termination
    tolerances: dict[str, float]
    versions: dict[str, str]
    timings: dict[str, float]


class Certification(ResponseModel):
    """The answer of /v1/certify; a question that was not asked is null."""

    id: str = Field(pattern="^cert_[0-9a-f]{64}$")
    name: str | None
    verdict: Literal[
        "infeasible",
        "not_kkt",
        "not_local_optimum",
        "local_optimum",
        "global_optimum",
        "inconclusive",
    ]
    termination: Termination
    summary: str
    objective: float | None
    point: Point
    feasibility: Feasibility
    refinement: Refinement | None
    kkt: Kkt | None
    local: Local | None
    global_: Annotated[Global | None, Field(alias="global")]
    layers: list[Layer] | None
    predictor: Predictor | None
    theorems: list[Theorem]
    tolerances: dict[str, float]
    certificate: dict[str, Any] | None
    self_check: SelfCheck
    versions: dict[str, str]
    timings: dict[str, float]


class SelfCheck(ResponseModel):
    """Whether the exact checker has confirmed the certificate before the answer was sent."""

    checked: bool
    reason: str | None


class CheckedClaim(ResponseModel):
    """One claim of a certificate, and why it does not hold where it does not."""

    claim: str
    holds: bool
    statement: str
    reason: str | None


class VerificationReport(ResponseModel):
    """The exact checker's report; ``verdict`` is proved where the certificate is valid."""

    valid: bool
    verdict: str
    statement_sha256: str | None
    statement_checked: bool
    claims: list[CheckedClaim]
    reason: str | None


class Sample(ResponseModel):
    """One point of a trajectory; ``log_time`` is null at the start."""

    log_time: float | None
    log_norm: float
    norm: float
    loss: float | None
    log_loss: float
    normalized_margin: float
    smoothed_margin: float
    margins: list[float]
    conserved: list[float]
    neuron_directions: list[Any] | None
    neuron_norms: list[list[float]] | None = None
    layer_norms: list[float] = []
    separated: bool


class FlowEvent(ResponseModel):
    """A pre-activation changed sign, or a neuron died or woke; numbers count from 1."""

    kind: Literal["sign_change", "neuron_dies", "neuron_wakes"]
    layer: int
    neuron: int
    example: int | None
    active: bool
    log_norm: float
    log_time: float | None


class Stopped(ResponseModel):
    """Why the curve ends where it does."""

    reason: str
    detail: str


class FlowAnswer(ResponseModel):
    """The answer of /v1/flow; ``certification`` is that of the KKT point."""

    id: str = Field(pattern="^flow_[0-9a-f]{64}$")
    name: str | None
    network: dict[str, Any] | None = None
    summary: str
    converged: bool
    accuracy: float | None
    separated: bool
    stopped: Stopped
    limit_direction: Point
    kkt_point: Point
    polish_distance: float | None
    polish: dict[str, Any] | None
    limit: dict[str, Any] | None
    certification: Certification | None
    certification_reason: str | None
    monotone_margin: bool | None
    trajectory: list[Sample]
    events: list[FlowEvent] = []
    versions: dict[str, str]
    timings: dict[str, float]


class TablesPart(ResponseModel):
    """What one part of a cell was shown on; ``redrawn``: instances that do not count, and why."""

    name: str
    wanted: int
    certified: int
    contradicted: int
    unknown: int
    redrawn: dict[str, int]


class TablesCell(ResponseModel):
    """A cell of the paper's Table 1 or 2, what the paper says there, and how it came out."""

    table: Literal[1, 2]
    row: str
    column: Literal["linear", "ReLU"]
    paper: str
    theorem: str
    as_the_paper_says: bool
    shown_by: list[TablesPart]


class TablesAnswer(ResponseModel):
    """The answer of a job of kind ``tables``; cells in the order of the paper."""

    id: str = Field(pattern="^tables_[0-9a-f]{64}$")
    name: str | None
    summary: str
    instances: int
    seed: int
    complete: bool
    as_the_paper_says: bool | None
    cells: list[TablesCell]
    markdown: str
    versions: dict[str, str]
    timings: dict[str, float]


StoredAnswer = Certification | FlowAnswer | TablesAnswer
"""What is kept under an id: the kinds tell themselves apart by it."""


class Example(ResponseModel):
    """A construction of the paper; ``request`` is ready to POST to /v1/certify."""

    name: str
    title: str
    request: dict[str, Any]
    expected: dict[str, Any]
    initial_parameters: list[Any] | None


class ExampleList(ResponseModel):
    """All constructions."""

    examples: list[Example]


class Health(ResponseModel):
    """The service answers."""

    status: Literal["ok", "ready"]
    version: str


JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class JobDocument(ResponseModel):
    """A job; ``progress`` holds numbers such as bound, incumbent, nodes and patterns."""

    id: str = Field(pattern="^job_[0-9a-f]{32}$")
    kind: str
    name: str | None
    status: JobStatus
    created_at: str
    started_at: str | None
    finished_at: str | None
    progress: dict[str, Any] | None
    attempts: int
    cancel_requested: bool
    verdict: str | None
    certificate_id: str | None
    error: dict[str, Any] | None
    links: dict[str, str]


class JobPage(ResponseModel):
    """Some jobs; ``next_cursor`` is null on the last page."""

    jobs: list[JobDocument]
    next_cursor: str | None


class BatchDocument(ResponseModel):
    """A batch with the counts of its finished lines."""

    id: str = Field(pattern="^batch_[0-9a-f]{32}$")
    status: JobStatus
    total: int
    done: int
    verdicts: dict[str, int]
    errors: int
    created_at: str
    finished_at: str | None
    cancel_requested: bool
    links: dict[str, str]


class FieldProblem(ResponseModel):
    """One wrong field, by its JSON pointer in the request."""

    pointer: str
    message: str


class ProblemDocument(ResponseModel):
    """A refusal (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None
    errors: list[FieldProblem] = Field(default=[], max_length=20)
