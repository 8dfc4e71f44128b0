"""Sphinx: the Markdown files of this folder, with two pages completed from the sources."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

from generated import http_interface, methods  # noqa: E402

from service import __version__  # noqa: E402

project = "margincert"
author = "The margincert authors"
version = release = __version__
extensions = ["myst_parser"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"margincert {release}"
myst_heading_anchors = 3
COMPLETED = {"api": http_interface, "methods": methods}


def complete(app, docname, source):
    """Append to a page what is generated for it."""
    if docname in COMPLETED:
        source[0] += "\n" + COMPLETED[docname]()


def setup(app):
    app.connect("source-read", complete)
