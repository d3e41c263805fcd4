"""The desk: what people edited of signals, notes on charts, saved views."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0002"


def upgrade() -> None:
    """Add the columns and tables."""
    op.add_column(
        "signals", sa.Column("revision", sa.Integer(), nullable=False, server_default="1")
    )
    op.add_column("signals", sa.Column("declared", sa.Text(), nullable=False, server_default="{}"))
    op.add_column("signals", sa.Column("declared_path", sa.String(length=800), nullable=True))
    op.create_index(op.f("ix_signals_declared_path"), "signals", ["declared_path"], unique=False)
    op.create_table(
        "notes",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("start", sa.BigInteger(), nullable=False),
        sa.Column("stop", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=64), nullable=False),
        sa.Column("created", sa.BigInteger(), nullable=False),
        sa.Column("edited", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notes")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "note_signals",
        sa.Column("sid", sa.Integer(), nullable=False),
        sa.Column("note", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("sid", "note", name=op.f("pk_note_signals")),
    )
    op.create_index(op.f("ix_note_signals_note"), "note_signals", ["note"], unique=False)
    op.create_table(
        "views",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("shared", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_views")),
        sa.UniqueConstraint("owner", "name", name=op.f("uq_views_owner_name")),
        sqlite_autoincrement=True,
    )
