"""The options of a certification request: names, meanings, defaults and bounds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Question = Literal["kkt", "local", "global", "layers", "predictor"]
QUESTIONS: tuple[Question, ...] = ("kkt", "local", "global", "layers", "predictor")

_Tolerance = Annotated[float, Field(gt=0.0, le=0.1, allow_inf_nan=False)]


class Options(BaseModel):
    """What is asked, how precisely, and how much work it may cost.

    Every tolerance is relative and part of the claim that is made with it.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    normalize: bool = Field(default=True, description="Scale the point to margin 1 first.")
    refine: bool = Field(
        default=False,
        description="Move to an exact KKT point close by, if there is one, and certify that.",
    )
    refine_radius: float = Field(
        0.1, gt=0.0, le=1.0, allow_inf_nan=False, description="Largest move, relative to ||theta||."
    )
    kkt_tolerance: _Tolerance = Field(
        1e-6, description="eps: ||theta - sum lambda_i h_i|| <= eps ||theta||."
    )
    complementarity_tolerance: _Tolerance = Field(
        1e-6, description="delta: sum lambda_i (q_i - 1) <= delta ||theta||^2."
    )
    gap_tolerance: _Tolerance = Field(
        1e-6, description="global yes: (objective - lower bound) / objective is at most this."
    )
    kink_tolerance: float = Field(
        1e-9,
        ge=0.0,
        le=0.01,
        allow_inf_nan=False,
        description="A pre-activation z is a kink when |z| <= this x ||w_j|| ||input||.",
    )
    resolution: float = Field(
        1e-6,
        gt=0.0,
        le=0.01,
        allow_inf_nan=False,
        description="Smallest radius, relative to ||theta||, that a local answer may speak of.",
    )
    time_limit: float = Field(10.0, gt=0.0, allow_inf_nan=False, description="Seconds.")
    max_patterns: int = Field(100_000, ge=1, le=10**9, description="Activation patterns examined.")
    max_nodes: int = Field(1_000_000, ge=1, le=10**9, description="Search nodes.")
    max_memory_mb: int = Field(1024, ge=64, le=1_000_000, description="Memory of the solver, MB.")
    questions: tuple[Question, ...] = Field(
        QUESTIONS, min_length=1, max_length=5, description="What to answer; the rest is null."
    )
    vectors: Literal["auto", "inline", "none"] = Field(
        "auto", description="Vectors of more than 10,000 numbers: by reference, inline or left out."
    )
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Seed of every random search.")
