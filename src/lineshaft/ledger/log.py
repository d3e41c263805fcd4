"""Reading the ledger: its newest checkpoint, entries, and proofs in it.

Rules: everything is proven in the tree of a checkpoint, by default the newest; an entry that is not
in it yet is not shown. Each answer is of one moment of the database. Calls block.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection, Engine, func, select

from lineshaft.core.errors import Refused
from lineshaft.ledger.merkle import (
    consistency_ranges,
    hash_of,
    inclusion_ranges,
    places,
)  # fmt: skip
from lineshaft.ledger.store import checkpoints, entries, fetch_hashes, found_by_id
from lineshaft.ledger.verify import Note, PublicKey, parse_note
from lineshaft.records import reading

__all__ = ["MOST_ENTRIES", "Ledger", "Proven", "Signed"]

MOST_ENTRIES: Final = 10_000
#: By the index of ids: those of Facts are hexadecimal.
_IS_KEY: Final = entries.c.id.between("key-", "key.") & (entries.c.kind == "key")


@dataclass(frozen=True, slots=True)
class Signed:
    """A checkpoint: its text as signed, what it says, and the key that signed it."""

    text: str
    note: Note
    key: PublicKey


@dataclass(frozen=True, slots=True)
class Proven:
    """An entry and the audit path (RFC 6962, 2.1.1) from its leaf to the root."""

    number: int
    kind: str
    leaf: bytes
    data: bytes
    proof: tuple[bytes, ...] = ()


class Ledger:
    """The ledger in a database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def newest(self) -> Signed:
        """Return the newest checkpoint; raise Refused (404) where there is none yet."""
        with reading(self._engine) as connection:
            return _newest(connection)

    def signed_size(self) -> int:
        """Return how many entries the newest checkpoint holds, 0 where there is none."""
        with reading(self._engine) as connection:
            return _signed_size(connection)

    def known(self, ids: Sequence[str]) -> bool:
        """Return whether the newest checkpoint holds all of these entries."""
        with reading(self._engine) as connection:
            size = _signed_size(connection)
            found = found_by_id(connection, ids)
            return len(found) == len(set(ids)) and all(n < size for n in found.values())

    def entries(self, start: int, limit: int) -> tuple[Signed, list[Proven]]:
        """Return the newest checkpoint and the entries from `start` on that it holds, without
        proofs."""
        with reading(self._engine) as connection:
            signed = _newest(connection)
            return signed, _range(connection, start, min(start + limit, signed.note.size))

    def prove(self, ids: Sequence[str]) -> tuple[Signed, list[Proven]]:
        """Return the newest checkpoint and the entries of these ids with their proofs in it, in
        this order; raise Refused (404) where one is not there."""
        with reading(self._engine) as connection:
            signed = _newest(connection)
            found = found_by_id(connection, ids)
            missing = [one for one in ids if found.get(one, signed.note.size) >= signed.note.size]
            if missing:
                raise Refused(f"the ledger has no entry '{missing[0][:80]}'", status=404,
                              hint="A Fact is entered within a second or two of being told",
                              code="ledger.unknown")  # fmt: skip
            by_number = {one.number: one for number in found.values()
                         for one in _range(connection, number, number + 1)}  # fmt: skip
            chosen = [by_number[found[one]] for one in ids]
            return signed, _with_proofs(connection, chosen, signed.note.size)

    def prove_range(self, start: int, end: int) -> tuple[Signed, list[Proven]]:
        """Return the newest checkpoint and the entries [start, end) with their proofs; raise
        Refused where it does not hold them all, or they are too many for one answer."""
        with reading(self._engine) as connection:
            signed = _newest(connection)
            if not 0 <= start < end <= signed.note.size:
                raise Refused(f"there are no entries from {start} to {end}", status=404,
                              hint=f"The ledger has {signed.note.size} entries, from 0",
                              code="ledger.range")  # fmt: skip
            if end - start > MOST_ENTRIES:
                raise Refused(f"{end - start} entries are too many at once", code="ledger.range",
                              hint=f"Ask for {MOST_ENTRIES} at most")  # fmt: skip
            found = _range(connection, start, end)
            return signed, _with_proofs(connection, found, signed.note.size)

    def keys(self, signed: Signed) -> list[Proven]:
        """Return the entries of all keys up to a checkpoint, with their proofs in it."""
        size = signed.note.size
        wanted = select(entries.c.number).where(_IS_KEY, entries.c.number < size)
        with reading(self._engine) as connection:
            rows = connection.execute(wanted.order_by(entries.c.number))
            numbers = [number for (number,) in rows]
            found = [one for number in numbers for one in _range(connection, number, number + 1)]
            return _with_proofs(connection, found, size)

    def consistency(self, first: int, second: int) -> tuple[bytes, bytes, list[bytes]]:
        """Return the roots of the trees of two sizes and the proof (RFC 6962, 2.1.2) that the
        second begins with the first; raise Refused where the ledger is smaller."""
        with reading(self._engine) as connection:
            size = _signed_size(connection)
            if not 0 < first <= second <= size:
                raise Refused(f"there are no trees of {first} and {second} entries", status=404,
                              hint=f"The ledger has {size} entries", code="ledger.range",
                              )  # fmt: skip
            spans = [(0, first), (0, second), *consistency_ranges(first, second)]
            needed = {place for span in spans for place in places(span)}
            hashes = fetch_hashes(connection, needed)
            old, new, *proof = (hash_of(span, hashes) for span in spans)
            return old, new, proof


def _signed_size(connection: Connection) -> int:
    return connection.execute(select(func.max(checkpoints.c.size))).scalar() or 0


def _newest(connection: Connection) -> Signed:
    wanted = select(checkpoints.c.note).order_by(checkpoints.c.size.desc()).limit(1)
    text = connection.execute(wanted).scalar()
    if text is None:
        raise Refused("the ledger has no checkpoint yet", status=404, code="ledger.empty",
                      hint="The first is signed within seconds of the first start")  # fmt: skip
    note = parse_note(text)
    return Signed(text, note, _key_of(connection, note))


def _key_of(connection: Connection, note: Note) -> PublicKey:
    wanted = select(entries.c.data).where(_IS_KEY)
    for (data,) in connection.execute(wanted.order_by(entries.c.number.desc())):
        key = PublicKey.parse(json.loads(data)["public"])
        if key.id == note.key_id:
            return key
    raise Refused("the key of the newest checkpoint is not in the ledger", code="ledger.key",
                  hint="`lineshaft ledger verify` says what else is wrong", status=409)  # fmt: skip


def _range(connection: Connection, start: int, end: int) -> list[Proven]:
    columns = (entries.c.number, entries.c.kind, entries.c.leaf, entries.c.data)
    wanted = select(*columns).where(entries.c.number >= start, entries.c.number < end)
    return [Proven(*row) for row in connection.execute(wanted.order_by(entries.c.number))]


def _with_proofs(connection: Connection, found: Sequence[Proven], size: int) -> list[Proven]:
    paths = [inclusion_ranges(one.number, size) for one in found]
    spans = {span for path in paths for span in path}
    hashes = fetch_hashes(connection, {place for span in spans for place in places(span)})
    folded = {span: hash_of(span, hashes) for span in spans}
    return [
        Proven(one.number, one.kind, one.leaf, one.data, tuple(folded[span] for span in path))
        for one, path in zip(found, paths, strict=True)
    ]
