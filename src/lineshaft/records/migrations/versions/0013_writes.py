"""Sources are closed for writing until somebody opens them; the demo's plant is there to be run."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the column."""
    default = sa.false()
    closed = sa.Column[bool]("writes", sa.Boolean(), nullable=False, server_default=default)
    op.add_column("sources", closed)
    op.execute("UPDATE sources SET writes = true WHERE id = 'demo'")
