"""From the bytes of a body, or of a file, to a checked request: the one way in.

Strict JSON first, then the arrays, then the model. Pointers name the request's own fields.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from pydantic import ValidationError

from service import strict_json
from service.arrays import ArrayError, FloatArray, read_array, read_labels
from service.problems import Kinds, Problem
from service.schemas import MAX_LAYERS, AnyRequest, FlowRequest, SolveRequest, TablesRequest
from service.settings import Settings, environment_name
from solvers.errors import MAX_FIELD_ERRORS, FieldError
from solvers.pointers import describe, field_errors

Reader = Callable[[Any], Any]
Request = TypeVar("Request", SolveRequest, FlowRequest, TablesRequest)
LOCAL_DEPTH = 64


@dataclass(frozen=True)
class Bounds:
    """What a request may ask for; None: anything, as on one's own machine."""

    max_depth: int = LOCAL_DEPTH
    max_numbers: int | None = None
    max_time_limit: float | None = None
    max_memory_mb: int | None = None
    time_setting: str = "max_time_limit"

    @classmethod
    def of(cls, settings: Settings) -> Bounds:
        """The bounds that the service's settings set."""
        return cls(
            settings.max_depth,
            settings.max_numbers,
            settings.max_time_limit,
            settings.max_memory_mb,
        )

    @classmethod
    def of_jobs(cls, settings: Settings) -> Bounds:
        """The same for jobs and batches, which may take longer."""
        most = settings.max_job_time_limit
        return replace(cls.of(settings), max_time_limit=most, time_setting="max_job_time_limit")


LOCAL = Bounds()


@dataclass(frozen=True)
class Known:
    """Fields that several requests share, their arrays decoded, and what is wrong with them."""

    fields: dict[str, Any]
    errors: list[FieldError]


def read_request(raw: bytes, bounds: Bounds = LOCAL) -> SolveRequest:
    """The request in ``raw``; raises :class:`Problem` with the pointers of what is wrong."""
    return read_as(SolveRequest, raw, bounds)


def read_as(model: type[Request], raw: bytes, bounds: Bounds = LOCAL) -> Request:
    """The request of a given kind in ``raw``; raises :class:`Problem`."""
    return check_as(model, read_object(raw, bounds), bounds)


def read_object(raw: bytes, bounds: Bounds = LOCAL) -> dict[str, Any]:
    """The JSON object in ``raw``, its arrays not decoded yet."""
    value = strict_json.parse(raw, max_depth=bounds.max_depth)
    if not isinstance(value, dict):
        raise Problem.fields([FieldError("", f"found {describe(value)}, expected an object")])
    return value


def check_request(
    value: dict[str, Any], bounds: Bounds = LOCAL, known: Known | None = None
) -> SolveRequest:
    """The request in a JSON object, which is changed; ``known``: fields read before."""
    return check_as(SolveRequest, value, bounds, known)


def check_as(
    model: type[Request],
    value: dict[str, Any],
    bounds: Bounds = LOCAL,
    known: Known | None = None,
) -> Request:
    """A request of a given kind in a JSON object, which is changed."""
    earlier: Known = known or Known({}, [])
    errors = [*earlier.errors, *decode_arrays(value)]
    request = _validated(model, {**value, **earlier.fields}, errors)
    _require_within(request, bounds)
    return request


def decode_arrays(value: dict[str, Any]) -> list[FieldError]:
    """Replace the arrays of a request in place; those that are wrong become empty."""
    errors: list[FieldError] = []
    dataset = value.get("dataset")
    if isinstance(dataset, dict):
        _decode(dataset, "x", _read_inputs, "/dataset", errors)
        _decode(dataset, "y", _read_examples(read_labels), "/dataset", errors)
    for key in ("parameters", "initial_parameters"):
        _decode_parameters(value, key, errors)
    _decode_indices(value.get("network"), errors)
    _accept_list_of_questions(value.get("options"))
    return errors


def _decode(
    parent: dict[str, Any], key: str, reader: Reader, pointer: str, errors: list[FieldError]
) -> None:
    if key not in parent:
        return
    try:
        parent[key] = reader(parent[key])
    except ArrayError as error:
        errors.append(FieldError(f"{pointer}/{key}{error.pointer}", error.message))
        parent[key] = np.empty(0)


def _read_examples(reader: Reader) -> Reader:
    def read(value: Any) -> Any:
        if value == []:
            raise ArrayError("", "found an empty list, expected at least one example")
        array = reader(value)
        if array.shape[0] == 0:
            raise ArrayError("", "found an empty array, expected at least one example")
        return array

    return read


@_read_examples
def _read_inputs(value: Any) -> FloatArray:
    return read_array(value, (2,))


def _decode_parameters(value: dict[str, Any], key: str, errors: list[FieldError]) -> None:
    layers = value.get(key)
    if not isinstance(layers, list):
        return
    if len(layers) > MAX_LAYERS:
        message = f"found {len(layers)} entries, expected one per layer"
        errors.append(FieldError(f"/{key}", message))
        value[key] = [np.empty(0)]
        return
    for index, layer in enumerate(layers):
        try:
            layers[index] = read_array(layer)
        except ArrayError as error:
            errors.append(FieldError(f"/{key}/{index}{error.pointer}", error.message))
            layers[index] = np.empty(0)


def _decode_indices(network: Any, errors: list[FieldError]) -> None:
    """The index maps of shared layers may be ``.npy`` too; lists are left to the model."""
    layers = network.get("layers") if isinstance(network, dict) else None
    for position, layer in enumerate(layers if isinstance(layers, list) else ()):
        if isinstance(layer, dict) and isinstance(layer.get("index"), dict):
            _decode(layer, "index", _read_index, f"/network/layers/{position}", errors)


def _read_index(value: Any) -> list[list[int]]:
    array = read_array(value, (2,))
    integers = array.astype(np.int64)
    if (integers != array).any() or (integers < 0).any():
        raise ArrayError("/npy", "holds a number that is no index; expected integers >= 0")
    rows: list[list[int]] = integers.tolist()
    return rows


def _accept_list_of_questions(options: Any) -> None:
    """The strict model wants a tuple, and JSON has none."""
    if isinstance(options, dict) and isinstance(options.get("questions"), list):
        options["questions"] = tuple(options["questions"])


def _validated(model: type[Request], value: dict[str, Any], errors: list[FieldError]) -> Request:
    try:
        request = model.model_validate(value)
    except ValidationError as error:
        raise Problem.fields((errors + field_errors(value, error))[:MAX_FIELD_ERRORS]) from None
    if errors:
        raise Problem.fields(errors)
    return request


def _require_within(request: AnyRequest, bounds: Bounds) -> None:
    options = request.options
    for name, asked, most in (
        ("time_limit", options.time_limit, bounds.max_time_limit),
        ("max_memory_mb", options.max_memory_mb, bounds.max_memory_mb),
    ):
        if most is not None and asked > most:
            setting = environment_name(name if name != "time_limit" else bounds.time_setting)
            message = f"found {asked:g}, the maximum here is {most:g} ({setting})"
            raise Problem.fields(
                [FieldError(f"/options/{name}", message)], Kinds.BUDGET_ABOVE_MAXIMUM
            )
    if bounds.max_numbers is None or isinstance(request, TablesRequest):
        return
    field, point = request.point
    numbers = sum(array.size for array in (*point, request.dataset.x))
    if numbers > bounds.max_numbers:
        setting = environment_name("max_numbers")
        message = f"found {numbers} numbers in all, at most {bounds.max_numbers} ({setting})"
        raise Problem.fields([FieldError(f"/{field}", message)])
