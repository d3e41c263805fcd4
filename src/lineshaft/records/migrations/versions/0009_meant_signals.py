"""Calculated signals keep which signals the paths in their expressions mean."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column; what was defined before is looked up by path once more."""
    meant = sa.Column("meant", sa.JSON(), nullable=False, server_default="{}")
    op.add_column("calculations", meant)
