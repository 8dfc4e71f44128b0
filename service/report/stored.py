"""The page of a stored answer; runs in a worker process, which alone loads the plotting library."""

from __future__ import annotations

import orjson

from service.place import Place


def stored_page(place: Place, identity: str) -> bytes | None:
    """The HTML of the answer's page, or None where no such answer is stored."""
    from service.report.page import render

    store = place.store()
    body = store.get(identity)
    if body is None:
        return None
    return render(orjson.loads(body), lambda name: store.get_array(identity, name)).encode()
