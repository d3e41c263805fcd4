"""The ledger's tables: entries, hashes of full subtrees, checkpoints, and how far it has read.

Rules: entries, hashes, checkpoint and the stream's position change in one transaction; it holds
only if lease and size are still those that the keeper read, so a keeper that was paused and
replaced is refused. An entry whose id is known is left out. Nothing here changes an entry.
Of checkpoints the last of every hour stays, and all since the last full hour.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    delete,
    insert,
    select,
    update,
)  # fmt: skip

from lineshaft.core.errors import Broken
from lineshaft.ledger.entries import Entry
from lineshaft.ledger.merkle import Growth, Place, leaf_hash, places
from lineshaft.records import metadata, reading

__all__ = ["LedgerStore", "Point", "State", "fetch_hashes", "found_by_id", "place_number"]

_BigId = BigInteger().with_variant(Integer, "sqlite")

entries = Table(
    "ledger_entries", metadata,
    Column("number", _BigId, primary_key=True, autoincrement=False),
    Column("id", String(64), nullable=False, unique=True),
    Column("kind", String(64), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("leaf", LargeBinary, nullable=False),
    Column("data", LargeBinary, nullable=False),
)  # fmt: skip
nodes = Table(
    "ledger_nodes", metadata,
    Column("place", _BigId, primary_key=True, autoincrement=False),
    Column("hash", LargeBinary, nullable=False),
)  # fmt: skip
checkpoints = Table(
    "ledger_checkpoints", metadata,
    Column("size", _BigId, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
)  # fmt: skip
states = Table(
    "ledger_state", metadata,
    Column("stream", String(128), primary_key=True),
    Column("origin", String(200), nullable=False),
    Column("key", String(200), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("lease", String(64), nullable=False),
    Column("token", String(64), nullable=False),
    Column("epoch", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("message_id", Text, nullable=False),
)  # fmt: skip

_SOME: Final = 500
_LEVEL_BITS: Final = 48
_HOUR_US: Final = 3_600_000_000

Sign = Callable[[int, bytes], tuple[int, str]]
"""Returns time (µs) and text of the signed checkpoint of a size and root."""


@dataclass(frozen=True, slots=True)
class Point:
    """How far the stream was read: up to `position` of `epoch`, which the message `message_id`
    has; `token` names the very stream."""

    token: str = ""
    epoch: int = 0
    position: int = 0
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class State:
    """Where the ledger is: its name, the public key in force, its size, who writes, and how far
    the stream was read."""

    origin: str
    key: str
    size: int
    lease: str
    point: Point


class LedgerStore:
    """The ledger of one stream, as its keeper changes it."""

    def __init__(self, engine: Engine, stream: str) -> None:
        self._engine = engine
        self.stream = stream
        self._mine = states.c.stream == stream

    def state(self) -> State | None:
        """Return where the ledger is, None before it began."""
        with reading(self._engine) as connection:
            return _state(connection, self._mine)

    def begin(self, origin: str, key: str, first: Entry) -> None:
        """Begin the ledger with the entry of its first key."""
        row = {"stream": self.stream, "origin": origin, "key": key, "size": 0, "lease": "",
               "token": "", "epoch": 0, "position": 0, "message_id": ""}  # fmt: skip
        with self._engine.begin() as connection:
            connection.execute(insert(states).values(row))
            size = _add(connection, Growth(), [first])
            connection.execute(update(states).where(self._mine).values(size=size))

    def take_lease(self, lease: str) -> State:
        """Become the only writer: whoever held the lease cannot append any more."""
        with self._engine.begin() as connection:
            connection.execute(update(states).where(self._mine).values(lease=lease))
            taken = _state(connection, self._mine)
        if taken is None:
            raise Broken(f"there is no ledger of {self.stream}", code="ledger.none")
        return taken

    def move(self, before: State, point: Point) -> State:
        """Move the position of the stream alone."""
        return self.append(before, [], point, None)

    def append(
        self, before: State, added: Sequence[Entry], point: Point, sign: Sign | None,
        key: str | None = None,
    ) -> State:  # fmt: skip
        """Enter what is not entered yet and move the position, all or nothing; return the state
        after it. Where there is a `sign`, the tree is signed as it is then; `key` is the public key
        that is in force from then on.

        Raises Broken `ledger.lease_lost` where another keeper has taken over.
        """
        with self._engine.begin() as connection:
            state = _state(connection, self._mine)
            if state != before:
                raise _lease_lost(self.stream)
            growth = _growth(connection, before.size)
            known = found_by_id(connection, [entry.id for entry in added])
            fresh = {entry.id: entry for entry in added if entry.id not in known}
            size = _add(connection, growth, fresh.values())
            after = replace(before, size=size, point=point, key=key or before.key)
            _write_state(connection, self._mine, after)
            if sign is not None:
                at, note = sign(size, growth.root())
                _keep_checkpoint(connection, size, at, note)
        return after

    def sign(self, before: State, sign: Sign) -> None:
        """Sign the tree as it is."""
        self.append(before, [], before.point, sign)


def _state(connection: Connection, mine: Any) -> State | None:
    row = connection.execute(select(states).where(mine)).first()
    if row is None:
        return None
    point = Point(row.token, row.epoch, row.position, row.message_id)
    return State(row.origin, row.key, row.size, row.lease, point)


def _write_state(connection: Connection, mine: Any, state: State) -> None:
    point = state.point
    values = {"key": state.key, "size": state.size, "token": point.token, "epoch": point.epoch,
              "position": point.position, "message_id": point.message_id}  # fmt: skip
    connection.execute(update(states).where(mine).values(values))


def _growth(connection: Connection, size: int) -> Growth:
    wanted = places((0, size))
    hashes = fetch_hashes(connection, wanted)
    return Growth(size, [hashes[place] for place in wanted])


def _add(connection: Connection, growth: Growth, added: Iterable[Entry]) -> int:
    """Enter these entries; return the size then."""
    rows, full = [], []
    for entry in added:
        leaf = leaf_hash(entry.data)
        rows.append({"number": growth.size, "id": entry.id, "kind": entry.kind, "seq": entry.seq,
                     "leaf": leaf, "data": entry.data})  # fmt: skip
        for place, hashed in growth.add(leaf):
            full.append({"place": place_number(place), "hash": hashed})
    if rows:
        connection.execute(insert(entries), rows)
    if full:
        connection.execute(insert(nodes), full)
    return growth.size


def _keep_checkpoint(connection: Connection, size: int, at: int, note: str) -> None:
    newest = select(checkpoints.c.size, checkpoints.c.at)
    last = connection.execute(newest.order_by(checkpoints.c.size.desc()).limit(1)).first()
    if last is not None and last.size == size:
        return
    if last is not None and last.at // _HOUR_US != at // _HOUR_US:
        start = last.at // _HOUR_US * _HOUR_US
        passed = (checkpoints.c.size < last.size) & checkpoints.c.at.between(start, last.at)
        connection.execute(delete(checkpoints).where(passed))
    connection.execute(insert(checkpoints).values(size=size, at=at, note=note))


def place_number(place: Place) -> int:
    """Return the number under which a subtree is stored."""
    level, index = place
    return level << _LEVEL_BITS | index


def fetch_hashes(connection: Connection, wanted: Iterable[Place]) -> Mapping[Place, bytes]:
    """Return the hashes of these subtrees; Broken where one is missing."""
    asked = set(wanted)
    found: dict[Place, bytes] = {}
    leaves = [index for level, index in asked if level == 0]
    for some in _pieces(leaves):
        rows = select(entries.c.number, entries.c.leaf).where(entries.c.number.in_(some))
        found |= {(0, number): leaf for number, leaf in connection.execute(rows)}
    by_number = {place_number(place): place for place in asked if place[0]}
    for some in _pieces(list(by_number)):
        rows = select(nodes.c.place, nodes.c.hash).where(nodes.c.place.in_(some))
        found |= {by_number[number]: hashed for number, hashed in connection.execute(rows)}
    if missing := asked - found.keys():
        raise Broken(f"the ledger lacks the hash at {min(missing)}", code="ledger.damaged",
                     hint="`lineshaft ledger verify` says what else", retryable=False)  # fmt: skip
    return found


def found_by_id(connection: Connection, ids: Sequence[str]) -> dict[str, int]:
    """Return the numbers of those of these entries that there are, by id."""
    found: dict[str, int] = {}
    for some in _pieces(ids):
        rows = select(entries.c.id, entries.c.number).where(entries.c.id.in_(some))
        found |= {name: number for name, number in connection.execute(rows)}
    return found


def _pieces(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[first : first + _SOME] for first in range(0, len(items), _SOME))


def _lease_lost(stream: str) -> Broken:
    return Broken(f"another keeper has taken over the ledger of {stream}",
                  hint="Only one may run on a data folder; this one stops",
                  code="ledger.lease_lost", retryable=False)  # fmt: skip
