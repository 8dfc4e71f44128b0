"""The service with a solver that never returns: ``python -m tests.integration.sleepy PORT DIR``."""

from __future__ import annotations

import sys
from pathlib import Path

from service import server
from service.app import create_app
from service.runner import PoolRunner
from service.settings import Settings
from tests.service.fakes import never_returns

if __name__ == "__main__":
    settings = Settings(port=int(sys.argv[1]), data_dir=Path(sys.argv[2]))
    server.run(create_app(settings, PoolRunner(settings, never_returns)), settings)
