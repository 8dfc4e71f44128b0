"""Show 3: ten thousand requests made from the OpenAPI document, to the real service."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from tests import contract
from tests.integration.conftest import running
from tests.service.test_contract import EXPLORED

CASES = 10_000
MEMORY = 400_000_000


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ten_thousand_requests(tmp_path: Path) -> None:
    with running(tmp_path, MARGINCERT_MAX_TIME_LIMIT="1") as service:
        known = contract.known_ids(service.client)
        process = psutil.Process(service.process.pid)
        sent = most = 0
        while sent < CASES:
            for operation, mode in (found.values for found in EXPLORED):
                tried = contract.explore(
                    operation,
                    service.client.request,
                    400,
                    known,
                    mode,  # type: ignore[arg-type]
                )
                sent += tried.total()
                most = max(most, process.memory_info().rss)
    assert most < MEMORY
