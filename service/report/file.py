"""The page of an answer in a file: the file is somebody's, so its shape is checked first."""

from __future__ import annotations

from pydantic import ValidationError

from service import strict_json
from service.problems import Kinds, Problem
from service.responses import Certification, KktAnswer
from solvers.errors import FieldError

_MAX_DEPTH = 64


def page_of(raw: bytes) -> bytes:
    """The HTML of the page; raises :class:`Problem` where ``raw`` is not an answer."""
    from service.report.page import render

    answer = strict_json.parse(raw, max_depth=_MAX_DEPTH)
    if not isinstance(answer, dict) or "termination" not in answer:
        found = "a request" if isinstance(answer, dict) and "parameters" in answer else "no answer"
        message = f"found {found}, expected what 'margincert certify --json' prints"
        raise Problem.fields([FieldError("", message)])
    model = Certification if "verdict" in answer else KktAnswer
    try:
        model.model_validate(answer)
    except ValidationError as error:
        raise Problem.fields(
            FieldError("".join(f"/{part}" for part in wrong["loc"]), wrong["msg"])
            for wrong in error.errors()
        ) from None
    try:
        return render(answer).encode()
    except (KeyError, IndexError, TypeError, ValueError) as error:
        detail = f"The answer is damaged: {error!r} while its numbers were read."
        raise Problem(Kinds.BAD_REQUEST, detail) from error
