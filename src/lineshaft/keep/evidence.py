"""The ledger in a database file: looked at by the doctor, and in every backup."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sqlalchemy import Engine, create_engine, event

from lineshaft.keep.checks import Verdict
from lineshaft.ledger.check import Checked, check_ledger
from lineshaft.ledger.verify import Tampered

__all__ = ["ledger", "look"]

_SECONDS: Final = 2.0


def look(file: Path, seconds: float | None, *, immutable: bool = False) -> Checked:
    """Check the ledger in a database, within about so many seconds where they are given; a database
    of before there was a ledger has an empty one. Raises Tampered where it does not hold."""
    engine = _engine(file, immutable)
    try:
        with engine.connect() as connection:
            known = connection.exec_driver_sql(
                "SELECT count(*) FROM sqlite_master WHERE name = 'ledger_state'"
            ).scalar()
        return check_ledger(engine, seconds) if known else Checked()
    finally:
        engine.dispose()


def ledger(file: Path) -> Verdict:
    """Do the entries still give the root that was signed?"""
    try:
        found = look(file, _SECONDS)
    except Tampered as error:
        advice = "`lineshaft ledger verify` checks all; a backup has it as it was"
        return "fail", f"the ledger was changed: {error}", advice
    if found.newest is None:
        return "ok", "it has no checkpoint yet", ""
    part = "all" if found.seen == found.size else f"{found.seen:,}"
    text = f"{found.size:,} entries, signed by {found.newest.key_id}; {part} looked at, all hold"
    return "ok", text, ""


def _engine(file: Path, immutable: bool) -> Engine:
    mode = "immutable=1" if immutable else "mode=ro"
    address = f"file:{quote(str(file))}?{mode}"

    def connect() -> sqlite3.Connection:
        made = sqlite3.connect(address, uri=True, timeout=30, check_same_thread=False)
        with closing(made.cursor()) as cursor:
            cursor.execute("PRAGMA query_only=ON")
        made.isolation_level = None
        return made

    engine = create_engine("sqlite://", creator=connect)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine
