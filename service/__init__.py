"""The HTTP service and the console script: HTTP, storage and people; no mathematics."""

__version__ = "0.1.0"
