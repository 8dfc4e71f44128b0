"""Shapes in annotations are checked in the test run: jaxtyping with beartype."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile("quick", settings.get_profile("default"), max_examples=10)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

install_import_hook("solvers.network", "beartype.beartype")
