"""A chunk of a batch is a part of the lines that are stored together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Chunks from before are all of their stored lines."""
    column = sa.Column("skip", sa.Integer(), server_default="0", nullable=False)
    op.add_column("jobs", column)


def downgrade() -> None:
    """Chunks that wait are lost with the tables in the step before."""
    op.drop_column("jobs", "skip")
