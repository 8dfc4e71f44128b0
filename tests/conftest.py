"""Shapes in annotations are checked in the test run: jaxtyping with beartype."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

settings.register_profile(
    "default",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.load_profile("default")

install_import_hook("solvers.network", "beartype.beartype")
