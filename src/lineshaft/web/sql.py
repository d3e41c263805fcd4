"""SQL for analysts: read-only queries over a snapshot of what there is.

Rules: the snapshot is one cut, as every answer of history is; only tables that a query's text
mentions are gathered. The query itself is carried out in
another process (`sql_child`), walled in: two at a time, 30 s, bounded memory and result. A child
that overruns is killed; the next query starts a new one. Here nothing of a query is ever run.
"""

import asyncio
import json
import os
import re
import struct
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from lineshaft.clock import monotonic_s
from lineshaft.core.errors import Broken, Refused
from lineshaft.rooms.history.engine.rows import STORED, Rows
from lineshaft.rooms.history.files import rollup_path
from lineshaft.rooms.history.formats import as_arrow
from lineshaft.rooms.history.model import FileEntry
from lineshaft.rooms.history.service import HistoryService
from lineshaft.rooms.history.store import FactStore
from lineshaft.web.sql_views import DAY_US, SnapshotFile

__all__ = ["Snapshots", "SqlAnswer", "SqlDesk"]

_AT_ONCE: Final = 2
_WAITING: Final = 8
_SECONDS: Final = 30.0
_GRACE_S: Final = 3.0
_START_S: Final = 20.0
_IDLE_S: Final = 60.0
_FACTS: Final = 100_000
_MAX_BYTES: Final = 64 * 1024 * 1024
_TRIES: Final = 3
_HEAD: Final = struct.Struct("<QQ")
_STAMP: Final = pa.timestamp("us", "UTC")
_FACT: Final = pa.schema([
    ("id", pa.utf8()), ("kind", pa.utf8()), ("at", _STAMP), ("subject", pa.utf8()),
    ("body", pa.utf8()), ("cause", pa.utf8()),
])  # fmt: skip
_SOURCE: Final = pa.schema([
    ("id", pa.utf8()), ("name", pa.utf8()), ("protocol", pa.utf8()), ("prefix", pa.utf8()),
    ("enabled", pa.bool_()), ("task", pa.utf8()), ("link", pa.utf8()), ("since", _STAMP),
    ("signals", pa.int32()), ("rate", pa.float64()), ("lag_ms", pa.float64()),
    ("buffered", pa.int64()), ("last_sample", _STAMP),
])  # fmt: skip
_GAP: Final = pa.schema([
    ("source", pa.utf8()), ("start_at", _STAMP), ("end_at", _STAMP), ("cause", pa.utf8()),
])  # fmt: skip


@dataclass(frozen=True, slots=True)
class SqlAnswer:
    """A result in the format asked for; `is_whole` is false where rows were left out."""

    content: bytes
    rows: int
    is_whole: bool
    as_of: int


@dataclass(frozen=True, slots=True)
class _Snapshot:
    files: Sequence[SnapshotFile]
    tail: Sequence[SnapshotFile]
    tables: Mapping[str, pa.Table]
    as_of: int

    def message(self, **more: Any) -> tuple[dict[str, Any], bytes]:
        parts = {name: as_arrow(table) for name, table in self.tables.items()}
        head = {
            "files": [astuple(file) for file in self.files],
            "tail": [astuple(file) for file in self.tail],
            "tables": {name: len(part) for name, part in parts.items()},
            "as_of": self.as_of, **more,
        }  # fmt: skip
        return head, b"".join(parts.values())


class Snapshots:
    """Takes snapshots; `signals` returns the table of that name, `sources` rows; both may block."""

    def __init__(
        self, history: HistoryService, facts: FactStore, folder: Path,
        signals: Callable[[], pa.Table],
        sources: Callable[[], Sequence[Mapping[str, Any]]],
    ) -> None:  # fmt: skip
        self.history, self.folder, self._facts = history, folder, facts
        self._signals, self._sources = signals, sources
        self._distinct: dict[str, bool] = {}

    def take(self, query: str) -> _Snapshot:
        """Return what the query's text mentions; blocks on the database."""
        mentioned = set(re.findall(r"\w+", query.lower()))
        tables: dict[str, pa.Table] = {}
        files: list[SnapshotFile] = []
        extents: list[SnapshotFile] = []
        cut = self.history.cut()
        if {"samples", "signals"} & mentioned:
            tables["signals"] = self._signals()
        if "samples" in mentioned:
            files = [self._file(entry) for entry in cut.files if entry.kind != "rolled"]
            known = self._distinct
            self._distinct = {f.path: known[f.path] for f in files if f.path in known}
            fresh = Rows.concat([block.whole() for block in cut.blocks])
            tables["own.tail"] = fresh.table() if len(fresh) else STORED.empty_table()
            extents = _extents(fresh)
        if "facts" in mentioned:
            tables["facts"] = self._read_facts()
        if "gaps" in mentioned:
            tables["gaps"] = self._read_gaps()
        if "sources" in mentioned:
            tables["sources"] = _table(self._sources(), _SOURCE)
        return _Snapshot(files, extents, tables, cut.newest)

    def _file(self, entry: FileEntry) -> SnapshotFile:
        path = os.fspath(self.folder / entry.path)
        is_disjoint = entry.kind == "sequence"
        if is_disjoint and entry.rollup_size:
            # A compacted file keeps all revisions of a row; its roll-ups count each row once.
            known = self._distinct
            if path not in known:
                known[path] = _counted(self.folder / rollup_path(entry.path)) == entry.rows
            is_disjoint = known[path]
        return SnapshotFile(path, entry.day, entry.sid_min, entry.sid_max, entry.ts_min,
                            entry.ts_max, is_disjoint)  # fmt: skip

    def _read_facts(self) -> pa.Table:
        found = self._facts.find(limit=_FACTS)
        rows = [{"id": f.id, "kind": f.kind, "at": f.at, "subject": f.subject, "cause": f.cause,
                 "body": json.dumps(f.body, ensure_ascii=False)} for f in found]  # fmt: skip
        return _table(rows, _FACT)

    def _read_gaps(self) -> pa.Table:
        found = self._facts.find(kinds=["link.gap"], limit=_FACTS)
        rows = [{"source": f.subject, "start_at": f.body.get("from"), "end_at": f.body.get("to"),
                 "cause": str(f.body.get("cause"))} for f in found]  # fmt: skip
        return _table(rows, _GAP)


class SqlDesk:
    """Answers queries; `attend` must run beside it."""

    def __init__(self, snapshots: Snapshots, seconds: float = _SECONDS) -> None:
        self._snapshots = snapshots
        self._seconds = seconds
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0
        self._idle: list[_Child] = []

    async def attend(self) -> None:
        """Send home children that nobody needs, for ever; at the end all of them."""
        try:
            while True:
                await asyncio.sleep(_IDLE_S / 4)
                late = monotonic_s() - _IDLE_S
                tired = [child for child in self._idle if child.since < late]
                self._idle = [child for child in self._idle if child not in tired]
                for child in tired:
                    child.kill()
        finally:
            for child in self._idle:
                child.kill()

    async def answer(self, query: str, limit: int, format: str) -> SqlAnswer:
        """Return at most `limit` rows of the query's result as `json`, `csv` or `arrow`.

        Raises Refused for what the query is to blame for, Broken `sql.busy` where too many wait.
        """
        if self._waiting >= _WAITING:
            raise Broken("too many queries wait already", hint="Try again in some seconds",
                         code="sql.busy")  # fmt: skip
        self._waiting += 1
        try:
            async with self._places:
                for _ in range(_TRIES - 1):  # a file may be compacted away meanwhile
                    try:
                        return await self._answer_once(query, limit, format)
                    except Broken as error:
                        if error.code != "history.gone":
                            raise
                return await self._answer_once(query, limit, format)
        finally:
            self._waiting -= 1

    async def _answer_once(self, query: str, limit: int, format: str) -> SqlAnswer:
        await self._snapshots.history.caught_up()
        snapshot = await asyncio.to_thread(self._snapshots.take, query)
        head, content = await asyncio.to_thread(
            lambda: snapshot.message(
                query=query, rows=limit, bytes=_MAX_BYTES, seconds=self._seconds, format=format
            )
        )
        self._idle = [child for child in self._idle if child.is_alive]
        child = self._idle.pop() if self._idle else await _Child.start(self._snapshots.folder)
        is_well = False
        try:
            async with asyncio.timeout(self._seconds + _GRACE_S):
                said, result = await child.ask(head, content)
            is_well = True
        except TimeoutError:
            raise Refused(f"the query took more than {self._seconds:.0f} s",
                          hint="Ask for a shorter time or fewer signals",
                          code="sql.time") from None  # fmt: skip
        except (OSError, RuntimeError, asyncio.IncompleteReadError):  # RuntimeError: pipe closed
            raise Refused("the query broke the process that carried it out",
                          hint="Most likely it needs too much memory: ask for less at once",
                          code="sql.memory") from None  # fmt: skip
        finally:
            if is_well:
                child.since = monotonic_s()
                self._idle.append(child)
            else:
                child.kill()
        if "error" in said:
            error = said["error"]
            if said["retry"]:
                raise Broken(error["message"], hint=error["hint"], code=error["code"])
            raise Refused(error["message"], hint=error["hint"], code=error["code"],
                          status=said["status"])  # fmt: skip
        return SqlAnswer(result, said["rows"], said["whole"], snapshot.as_of)


class _Child:
    """A process of `sql_child`; one question at a time."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.since = monotonic_s()

    @classmethod
    async def start(cls, folder: Path) -> "_Child":
        # An empty environment: nothing in it for a query to find, nothing to load code from.
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-m", "lineshaft.web.sql_child", str(folder),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd="/",
            env={"OPENBLAS_NUM_THREADS": "1", "LANG": "C.UTF-8"},
        )  # fmt: skip
        child = cls(process)
        try:
            async with asyncio.timeout(_START_S):
                await child._heard()
        except (TimeoutError, OSError, asyncio.IncompleteReadError):
            child.kill()
            raise Broken("the process for queries does not start",
                         hint="The log of `web` says why", code="sql.start") from None  # fmt: skip
        except BaseException:
            child.kill()
            raise
        return child

    async def ask(self, head: Mapping[str, Any], content: bytes) -> tuple[Any, bytes]:
        written = json.dumps(head).encode()
        assert self._process.stdin is not None
        self._process.stdin.write(_HEAD.pack(len(written), len(content)) + written)
        self._process.stdin.write(content)
        await self._process.stdin.drain()
        return await self._heard()

    async def _heard(self) -> tuple[Any, bytes]:
        assert self._process.stdout is not None
        head, content = _HEAD.unpack(await self._process.stdout.readexactly(_HEAD.size))
        said = json.loads(await self._process.stdout.readexactly(head))
        return said, await self._process.stdout.readexactly(content)

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    def kill(self) -> None:
        if self.is_alive:
            with suppress(ProcessLookupError):
                self._process.kill()


def _counted(path: Path) -> int | None:
    """Return how many rows a file's roll-ups count, None where they cannot be read."""
    try:
        with pa.memory_map(os.fspath(path)) as file:
            reader = pa.ipc.open_file(file)
            batch = reader.get_batch(reader.num_record_batches - 1)  # the longest buckets: few
            return int(np.sum(batch.column("rows").to_numpy(), dtype=np.int64))
    except (OSError, pa.ArrowException, KeyError):
        return None


def _extents(rows: Rows) -> list[SnapshotFile]:
    """Return what the tail spans, by day."""
    days = rows.ts // DAY_US
    found = []
    for day in np.unique(days):
        own = rows.take(days == day)
        found.append(SnapshotFile("", int(day), int(own.sid.min()), int(own.sid.max()),
                                  int(own.ts.min()), int(own.ts.max()), False))  # fmt: skip
    return found


def _table(rows: Sequence[Mapping[str, Any]], schema: pa.Schema) -> pa.Table:
    return pa.table(
        {field.name: pa.array([row.get(field.name) for row in rows], field.type)
         for field in schema}
    )  # fmt: skip
