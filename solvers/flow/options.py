"""How gradient flow or gradient descent is run: names, meanings, defaults and bounds."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from solvers.flow.loss import LossName
from solvers.flow.path import Integrator

Method = Literal["flow", "descent"]
StepRule = Literal["loss_based", "constant"]


class FlowSettings(BaseModel):
    """Everything that decides which curve is followed, and how far."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    loss: LossName = Field(
        default="exponential", description="l(q) = exp(-q) or log(1 + exp(-q)), summed."
    )
    method: Method = Field(
        default="flow", description="Gradient flow, or gradient descent with steps of a given size."
    )
    certify: bool = Field(
        default=True, description="Certify the KKT point that the direction tends to."
    )
    relu_derivative_at_zero: float = Field(
        0.0, ge=0.0, le=1.0, allow_inf_nan=False, description="sigma'(0); no limit depends on it."
    )
    samples: int = Field(200, ge=2, le=2000, description="Most points of the trajectory.")
    direction_tolerance: float = Field(
        1e-10,
        gt=0.0,
        le=0.1,
        allow_inf_nan=False,
        description="The direction stands still where |d phi/d log ||theta||| is at most this.",
    )
    max_log_norm: float = Field(
        200.0, gt=-700.0, le=300.0, allow_inf_nan=False, description="Largest log ||theta||."
    )
    integrator: Integrator = Field(default="BDF", description="SciPy's stiff integrator.")
    relative_tolerance: float = Field(
        1e-8, ge=1e-12, le=1e-3, allow_inf_nan=False, description="Of the integrator, per step."
    )
    step_size: float = Field(
        0.01, gt=0.0, le=1e6, allow_inf_nan=False, description="Of gradient descent."
    )
    steps: int = Field(20_000, ge=1, le=10_000_000, description="Most steps of gradient descent.")
    step_rule: StepRule = Field(
        default="loss_based",
        description="step_size grad L / (L max(1, ||grad log L||^2)), or step_size grad L.",
    )
