"""Alembic's scripts; ``margincert migrate`` and the start of the service run them."""
