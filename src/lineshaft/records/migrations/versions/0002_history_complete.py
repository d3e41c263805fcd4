"""What a complete history keeps: roll-ups beside files, retention rules, what was retired."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns and tables."""
    with op.batch_alter_table("files") as files:
        files.add_column(
            sa.Column("rollup_size", sa.BigInteger(), nullable=False, server_default="0")
        )
    op.create_index("ix_files_stream_day", "files", ["stream", "day"], unique=False)
    op.create_table(
        "retention_rules",
        sa.Column("prefix", sa.String(length=800), nullable=False),
        sa.Column("raw_days", sa.Integer(), nullable=True),
        sa.Column("rollup_days", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("prefix", name=op.f("pk_retention_rules")),
    )
    op.create_table(
        "retired",
        sa.Column("stream", sa.String(length=128), nullable=False),
        sa.Column("sid", sa.Integer(), nullable=False),
        sa.Column("before", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("stream", "sid", name=op.f("pk_retired")),
    )
