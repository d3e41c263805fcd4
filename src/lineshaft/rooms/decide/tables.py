"""The tables of the room: loops, stops, what loops know, proposals, Commands, results."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from lineshaft.records import metadata

__all__ = ["commands", "loop_results", "loop_states", "loop_stops", "loops", "proposals"]

loops = Table(
    "loops", metadata,
    Column("id", String(32), primary_key=True),
    Column("name", String(120), nullable=False),
    Column("machine", String(800), nullable=False),
    Column("revision", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("mode", String(16), nullable=False),
    Column("since", BigInteger, nullable=False),
    UniqueConstraint("machine", "name", name="uq_loops_machine"),
)  # fmt: skip
loop_stops = Table(
    "loop_stops", metadata,
    Column("id", Integer, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("loops", Text, nullable=False),
)  # fmt: skip
loop_states = Table(
    "loop_states", metadata,
    Column("loop", String(32), primary_key=True),
    Column("token", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("known", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
)  # fmt: skip
loop_results = Table(
    "loop_results", metadata,
    Column("id", Integer, primary_key=True),
    Column("loop", String(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("hours", Float, nullable=False),
    Column("mode", String(16), nullable=False),
    Column("predicted", Float),
    Column("actual", Float, nullable=False),
    Column("settled", Boolean, nullable=False),
    Index("ix_loop_results_loop_at", "loop", "at"),
)  # fmt: skip
proposals = Table(
    "proposals", metadata,
    Column("id", String(32), primary_key=True),
    Column("loop", String(32), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("hours", Float, nullable=False),
    Column("state", String(16), nullable=False),
    Column("expires", BigInteger),
    Column("commands", Text, nullable=False),
    Column("approvals", Text, nullable=False),
    Column("body", Text, nullable=False),
    Index("ix_proposals_loop_at", "loop", "at"),
)  # fmt: skip
commands = Table(
    "commands", metadata,
    Column("id", String(200), primary_key=True),
    Column("loop", String(200), nullable=False),
    Column("proposal", String(32), nullable=False),
    Column("sid", Integer, nullable=False),
    Column("value", Float, nullable=False),
    Column("before", Float),
    Column("at", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
    Column("approvals", Text, nullable=False),
    Column("cause", Text),
    Column("sent", BigInteger),
    Column("ending", String(16)),
    Column("ended", BigInteger),
    Column("reason", Text, nullable=False),
    Column("guard", String(40), nullable=False),
    Column("read_back", Float),
    Column("verdicts", Text, nullable=False),
    Column("told", Boolean, nullable=False),
    Index("ix_commands_loop_at", "loop", "at"),
    Index("ix_commands_sid_sent", "sid", "sent"),
)  # fmt: skip
