"""The page of an answer in a file: the file is somebody's, so its shape is checked first."""

from __future__ import annotations

from pydantic import ValidationError

from service import strict_json
from service.problems import Kinds, Problem
from service.responses import Certification, FlowAnswer, KktAnswer, ResponseModel, TablesAnswer
from solvers.errors import FieldError, InputError

_MAX_DEPTH = 64
_KINDS: dict[str, type[ResponseModel]] = {
    "trajectory": FlowAnswer,
    "cells": TablesAnswer,
    "verdict": Certification,
    "kkt": KktAnswer,
}
"""Each kind of answer by a field of its own."""


def page_of(raw: bytes) -> bytes:
    """The HTML of the page; raises :class:`Problem` where ``raw`` is not an answer."""
    from service.report.page import render

    answer = strict_json.parse(raw, max_depth=_MAX_DEPTH)
    model = next((_KINDS[k] for k in _KINDS if isinstance(answer, dict) and k in answer), None)
    if model is None:
        asks = isinstance(answer, dict) and "network" in answer
        found = "a request" if asks else "no answer"
        message = (
            f"found {found}, expected what 'margincert certify --json' or 'flow --json' prints"
        )
        raise Problem.fields([FieldError("", message)])
    try:
        model.model_validate(answer)
    except ValidationError as error:
        raise Problem.fields(
            FieldError("".join(f"/{part}" for part in wrong["loc"]), wrong["msg"])
            for wrong in error.errors()
        ) from None
    try:
        return render(answer).encode()
    except (KeyError, IndexError, TypeError, ValueError, InputError) as error:
        detail = f"The answer is damaged: {error!r} while its numbers were read."
        raise Problem(Kinds.BAD_REQUEST, detail) from error
