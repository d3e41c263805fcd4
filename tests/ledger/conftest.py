"""A ledger in a database, filled without a bus."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from lineshaft.bus import Message
from lineshaft.core.facts import Fact
from lineshaft.ledger.entries import Entry, entry_of, made_of
from lineshaft.ledger.keys import LogKey, key_entry
from lineshaft.ledger.log import Ledger
from lineshaft.ledger.store import LedgerStore, Point
from lineshaft.records import Engine, metadata, open_records

STREAM = "FACT_t"


def fact(number: int, kind: str = "link.lost") -> Fact:
    return Fact(kind, 1_700_000_000_000_000 + number, f"source{number % 3}",
                {"number": number, "share": number / 7, "text": "Ü €\n\u0001"})  # fmt: skip


def message(number: int, data: bytes) -> Message:
    return Message(number, 0, "", {}, data)


def make_tables(engine: Engine) -> None:
    """Make the ledger's tables and no others."""
    tables = [table for table in metadata.sorted_tables if table.name.startswith("ledger_")]
    metadata.create_all(engine, tables=tables)


class Filled:
    """A ledger that is filled by hand; `at` is its clock."""

    def __init__(
        self, folder: Path, name: str = "records", key: LogKey | None = None
    ) -> None:  # fmt: skip
        self.file = folder / f"{name}.sqlite"
        self.engine: Engine = open_records(self.file)
        make_tables(self.engine)
        self.store, self.ledger = LedgerStore(self.engine, STREAM), Ledger(self.engine)
        self.key, self.at, self.count = key or LogKey.first("t"), 1_700_000_000_000_000, 0
        first = made_of(key_entry(self.key, self.at, None))
        self.store.begin(self.key.origin, str(self.key.public), first)
        self.state = self.store.take_lease("test")

    def sign(self, size: int, root: bytes) -> tuple[int, str]:
        self.at += 1_000_000
        return self.at, self.key.note(size, root, self.at)

    def put(self, facts: Sequence[Fact], *, signed: bool = True) -> None:
        made: list[Entry] = []
        for one in facts:
            self.count += 1
            made.append(entry_of(message(self.count, one.to_json()), STREAM, 0))
        point = Point("t", 0, self.count, "")
        self.state = self.store.append(self.state, made, point, self.sign if signed else None)

    def change_key(self, *, lost: bool = False) -> None:
        before, self.key = self.key, LogKey.next(self.key.origin)
        entry = key_entry(self.key, self.at, before.public if lost else before)
        self.state = self.store.append(self.state, [made_of(entry)], self.state.point, self.sign,
                                       str(self.key.public))  # fmt: skip


def forty(folder: Path) -> Filled:
    """A ledger of 40 Facts in batches of 8, its key changed after the third."""
    made = Filled(folder)
    for first in range(0, 40, 8):
        made.put([fact(number) for number in range(first, first + 8)])
        if first == 16:
            made.change_key()
    return made


@pytest.fixture
def filled(tmp_path: Path) -> Filled:
    """A ledger of a test's own."""
    return forty(tmp_path)


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """A ledger that no test changes."""
    return forty(tmp_path_factory.mktemp("sealed"))
