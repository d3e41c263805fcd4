"""Is the ledger in a database still the one that was signed? Everything is read, nothing written.

Rules: each entry's words must give its leaf, leaves their subtrees, subtrees the roots of all
checkpoints that are kept, and each of those must be signed by a key that the ledger itself knows.
Entries are looked at in blocks of 4,096. Where the time is bounded, the newest blocks come first,
then others drawn by lot until it is up; the hashes above the blocks and the newest checkpoint are
always looked at. The first thing that does not hold is told, with its place.
"""

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Final

import orjson
from sqlalchemy import Connection, Engine, func, select

from lineshaft.clock import monotonic_s
from lineshaft.core.errors import Broken, Refused
from lineshaft.ledger.bundle import bundle_of_range
from lineshaft.ledger.log import Ledger
from lineshaft.ledger.merkle import Growth, Place, hash_of, leaf_hash, node_hash, places
from lineshaft.ledger.store import checkpoints, entries, fetch_hashes, nodes, states
from lineshaft.ledger.verify import Note, PublicKey, Tampered, Unreadable, parse_note, verify
from lineshaft.records import reading

__all__ = ["Checked", "check_ledger"]

_LEVEL: Final = 12
_BLOCK: Final = 1 << _LEVEL
_MOST_KIND: Final = 64

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found to hold: `seen` of `size` entries and `notes` checkpoints were looked at;
    `unsigned` entries came after the newest checkpoint. `newest` is None of an empty ledger."""

    size: int = 0
    seen: int = 0
    notes: int = 0
    unsigned: int = 0
    newest: Note | None = None


def check_ledger(
    engine: Engine, seconds: float | None = None, progress: Progress = lambda done, total: None
) -> Checked:
    """Check the ledger, in about so many seconds at most; raise Tampered where it does not hold."""
    try:
        with reading(engine) as connection:
            row = connection.execute(select(states.c.size, states.c.origin)).first()
            if row is None:
                _check_counts(connection, 0)
                return Checked()
            size, origin = row
            _check_counts(connection, size)
            seen = sum(_check_blocks(connection, size, seconds, progress))
            _check_upper(connection, size)
            texts = _texts(connection, None if seconds is None else 1)
            newest = _check_notes(connection, origin, size, texts)
        if newest is not None:
            verify(bundle_of_range(Ledger(engine), 0, 1))
    except (Broken, Refused, Unreadable) as error:
        raise Tampered(str(error)) from error
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise Tampered(f"the ledger's tables are not in form: {error!r}"[:300]) from error
    signed = newest.size if newest else 0
    return Checked(size, seen, len(texts), size - signed, newest)


def _check_counts(connection: Connection, size: int) -> None:
    wanted = size - size.bit_count()
    for table, expected in ((entries, size), (nodes, wanted)):
        count = connection.execute(select(func.count()).select_from(table)).scalar()
        if count != expected:
            raise Tampered(f"the table {table.name} has {count} rows; the ledger has {size} "
                           f"entries, so it should have {expected}")  # fmt: skip


def _check_upper(connection: Connection, size: int) -> None:
    """Check the hashes above the blocks against those below them, level by level."""
    level = _LEVEL
    below = _level(connection, level, size)
    while len(below) > 1:
        level += 1
        here = _level(connection, level, size)
        for index, hashed in enumerate(here):
            if node_hash(below[2 * index], below[2 * index + 1]) != hashed:
                raise _changed((level, index))
        below = here


def _level(connection: Connection, level: int, size: int) -> list[bytes]:
    wanted = [(level, index) for index in range(size >> level)]
    found = fetch_hashes(connection, wanted)
    return [found[place] for place in wanted]


def _texts(connection: Connection, most: int | None) -> list[tuple[int, int, str]]:
    """Return the newest checkpoints, newest first."""
    wanted = select(checkpoints).order_by(checkpoints.c.size.desc()).limit(most)
    return [(row.size, row.at, row.note) for row in connection.execute(wanted)]


def _check_notes(
    connection: Connection, origin: str, size: int, texts: list[tuple[int, int, str]]
) -> Note | None:
    """Check that the tree had the roots that were signed; return the newest checkpoint."""
    keys = _keys(connection)
    newest = None
    for at_size, at, text in texts:
        note = parse_note(text)
        newest = newest or note
        if (note.size, note.at, note.origin) != (at_size, at, origin):
            raise Tampered(f"the checkpoint of {at_size} entries says something else")
        if note.size > size or note.key_id not in keys:
            raise Tampered(f"the checkpoint of {at_size} entries is of no tree or key that there "
                           "is")  # fmt: skip
        note.check(keys[note.key_id])
        hashes = fetch_hashes(connection, places((0, note.size)))
        if hash_of((0, note.size), hashes) != note.root:
            raise Tampered(f"the first {note.size} entries do not give the root that was signed")
    return newest


def _keys(connection: Connection) -> dict[str, PublicKey]:
    """Return the keys that the ledger entered, by their ids; their own line is checked apart."""
    wanted = select(entries.c.data).where(entries.c.id.between("key-", "key."))
    rows = [json.loads(data) for (data,) in connection.execute(wanted)]
    keys = [PublicKey.parse(row["public"]) for row in rows if row["kind"] == "key"]
    return {key.id: key for key in keys}


def _check_blocks(
    connection: Connection, size: int, seconds: float | None, progress: Progress
) -> Iterator[int]:
    """Check blocks as the time allows; hand out how many entries each had."""
    starts = list(range(0, size, _BLOCK))
    if seconds is not None:
        older = starts[:-2]
        random.SystemRandom().shuffle(older)
        starts = [*starts[:-3:-1], *older]
    until = None if seconds is None else monotonic_s() + seconds
    done = 0
    for start in starts:
        stop = min(start + _BLOCK, size)
        _check_block(connection, start, stop)
        done += stop - start
        progress(done, size)
        yield stop - start
        if until is not None and monotonic_s() > until:
            return


def _check_block(connection: Connection, start: int, stop: int) -> None:
    columns = (entries.c.number, entries.c.id, entries.c.kind, entries.c.leaf, entries.c.data)
    wanted = select(*columns).where(entries.c.number >= start, entries.c.number < stop)
    rows = connection.execute(wanted.order_by(entries.c.number))
    growth, full = Growth(), dict[Place, bytes]()
    for number, row in zip_longest(range(start, stop), rows):
        if row is None or row[0] != number:
            raise Tampered(f"entry {number} is missing")
        _, name, kind, leaf, data = row
        _check_entry(number, name, kind, leaf, data)
        for (level, index), hashed in growth.add(leaf):
            full[level, index + (start >> level)] = hashed
    stored = fetch_hashes(connection, full)
    if stored != full:
        raise _changed(min(place for place in full if stored[place] != full[place]))


def _check_entry(number: int, name: str, kind: str, leaf: bytes, data: Any) -> None:
    if not isinstance(data, bytes) or leaf_hash(data) != leaf:
        raise Tampered(f"entry {number} was changed: its words do not give its leaf")
    content = orjson.loads(data)
    told = content["fact"]["kind"] if content["kind"] == "fact" else content["kind"]
    if (content["id"], told[:_MOST_KIND]) != (name, kind):
        raise Tampered(f"entry {number} stands under the name '{name}' of another")


def _changed(place: Place) -> Tampered:
    level, index = place
    first, last = index << level, (index + 1 << level) - 1
    return Tampered(f"entries {first} to {last}, or the hash above them, are not those that were "
                    "entered")  # fmt: skip
