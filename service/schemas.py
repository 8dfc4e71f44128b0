"""The shape of requests: strict models over arrays that were decoded before."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, FailFast, Field, InstanceOf, WithJsonSchema

from solvers.flow import FlowSettings
from solvers.network.specification import NetworkSpec
from solvers.options import Options

MAX_NAME = 200
MAX_LAYERS = 200

_NPY = {
    "type": "object",
    "properties": {"npy": {"type": "string", "contentEncoding": "base64"}},
    "required": ["npy"],
    "additionalProperties": False,
    "description": "A .npy file: float64, float32 or integers, any byte order, C or Fortran.",
}


def _nested(levels: int) -> dict[str, Any]:
    """The JSON schema of ``levels`` nested lists of numbers."""
    schema: dict[str, Any] = {"type": "number"}
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def _array(description: str, *levels: int) -> WithJsonSchema:
    lists = [_nested(level) for level in levels]
    return WithJsonSchema({"anyOf": [*lists, _NPY], "description": description})


_Labels = {"type": "array", "items": {"enum": [-1, 1]}, "minItems": 1}

Inputs = Annotated[InstanceOf[np.ndarray[Any, Any]], _array("One row per example.", 2)]
Labels = Annotated[
    InstanceOf[np.ndarray[Any, Any]],
    WithJsonSchema({"anyOf": [_Labels, _NPY], "description": "-1 or 1 per example."}),
]
LayerParameters = Annotated[
    InstanceOf[np.ndarray[Any, Any]], _array("A matrix, or the same numbers flat.", 1, 2, 4)
]


class RequestModel(BaseModel):
    """Unknown fields are refused and nothing is coerced."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Dataset(RequestModel):
    """The examples and their labels."""

    x: Inputs
    y: Labels


class SolveRequest(RequestModel):
    """A network, a data set and a point in parameter space, with what is asked about it."""

    name: str | None = Field(None, max_length=MAX_NAME, description="A label of your own.")
    network: NetworkSpec
    dataset: Dataset
    parameters: Annotated[list[LayerParameters], FailFast()] = Field(
        min_length=1, max_length=MAX_LAYERS, description="One entry per layer, in order."
    )
    options: Options = Options()

    @property
    def point(self) -> tuple[str, list[np.ndarray[Any, Any]]]:
        """The field that holds a point in parameter space, and its arrays."""
        return "parameters", self.parameters


class FlowRequest(FlowSettings):
    """A network, a data set and where gradient flow starts, with how it is followed.

    The network may have a skip connection or biases; parameters of these follow the layers'.
    """

    name: str | None = Field(None, max_length=MAX_NAME, description="A label of your own.")
    network: NetworkSpec
    dataset: Dataset
    initial_parameters: Annotated[list[LayerParameters], FailFast()] = Field(
        min_length=1,
        max_length=MAX_LAYERS,
        description="One entry per layer, in order; then skip connection and biases.",
    )
    options: Options = Options()

    @property
    def point(self) -> tuple[str, list[np.ndarray[Any, Any]]]:
        """The field that holds a point in parameter space, and its arrays."""
        return "initial_parameters", self.initial_parameters

    def settings(self) -> dict[str, Any]:
        """How the flow is followed."""
        return self.model_dump(include=set(FlowSettings.model_fields))


class WorkLimits(RequestModel):
    """How much work a request may cost."""

    time_limit: float = Field(3600.0, gt=0.0, allow_inf_nan=False, description="Seconds.")
    max_memory_mb: int = Field(1024, ge=64, le=1_000_000, description="Memory of the solver, MB.")


class TablesRequest(RequestModel):
    """The paper's Tables 1 and 2, each positive cell on random instances; a job, in one process."""

    name: str | None = Field(None, max_length=MAX_NAME, description="A label of your own.")
    instances: int = Field(25, ge=1, le=1000, description="Random instances a positive cell.")
    seed: int = Field(0, ge=0, le=2**63 - 1, description="Seed of the random instances.")
    options: WorkLimits = WorkLimits()


AnyRequest = SolveRequest | FlowRequest | TablesRequest


class VerifyRequest(RequestModel):
    """A certificate, and (optionally) the parts of its statement that were asked about."""

    certificate: dict[str, Any] = Field(
        description="A certificate, or a whole answer that holds one."
    )
    statement: dict[str, Any] | None = Field(
        None,
        description="`problem`, and any of `point`, `tolerances`, `claims`: each must be the "
        "certificate's.",
    )


class JobRequest(RequestModel):
    """A request that is answered later; it is read in two steps, kind by kind."""

    kind: Literal["certify", "kkt", "flow", "tables"]
    request: SolveRequest | FlowRequest | TablesRequest
