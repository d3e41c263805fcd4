"""Imports: files taken in, checked, confirmed, and put on the bus piece by piece.

Rules: nothing is stored before a person has seen the check and started the import. One block is on
its way at a time, and how far the import is changes only once a whole piece is on disk. So after a
crash the last block of this import in the stream tells which blocks of the next piece are there;
those are not sent again, however long ago that was.
"""

import asyncio
import logging
import os
import shutil
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Engine
from sqlalchemy.exc import OperationalError

from lineshaft.bus import Bus
from lineshaft.bus.client import data_stream
from lineshaft.clock import monotonic_s, now_us
from lineshaft.core.errors import Broken, LineshaftError, Refused
from lineshaft.core.facts import Fact
from lineshaft.core.paths import slug
from lineshaft.core.ports import SignalDirectory
from lineshaft.core.samples import SampleBlock
from lineshaft.core.signals import Signal
from lineshaft.rooms.history.engine.cells import Parser
from lineshaft.rooms.history.engine.sheet_form import Form
from lineshaft.rooms.history.import_files import Piece, Place, guess_file, kind_of, pieces
from lineshaft.rooms.history.import_store import ImportRow, ImportStore
from lineshaft.rooms.history.import_work import (
    Conversion,
    Resolver,
    blocks_of,
    check_file,
    drafts,
    run_parser,
)  # fmt: skip
from lineshaft.rooms.history.store import Catalogue

__all__ = ["Imports"]

_LOG = logging.getLogger(__name__)
_RESERVE: Final = 1_000_000_000
_LOOK_AT_DISK: Final = 16 * 1024 * 1024
_AHEAD: Final = 100
_AHEAD_US: Final = 60_000_000
_IDLE_S: Final = 2.0
_WAIT_S: Final = 0.5


class Imports:
    """The imports of a site. `run()` works, one import after the other; all else answers."""

    def __init__(
        self, bus: Bus, engine: Engine, folder: Path, *, directory: SignalDirectory,
        signals: Callable[[], Sequence[Signal]], conversion: Conversion, prefix: str,
        max_bytes: int,
    ) -> None:  # fmt: skip
        self._bus = bus
        self._store = ImportStore(engine)
        self._catalogue = Catalogue(engine, data_stream(bus.site))
        self._folder = folder
        self._directory = directory
        self._signals = signals
        self._conversion = conversion
        self._prefix = prefix
        self._max_bytes = max_bytes
        self._wake = asyncio.Event()
        self._halt = threading.Event()
        self._active = 0
        self._checked_rows = 0
        self._rate = 0.0

    async def receive(self, name: str, body: AsyncIterator[bytes]) -> dict[str, Any]:
        """Take a file in and begin to check it by a guessed form.

        Raises Refused where it is too large, empty, or no kind of file that can be read.
        """
        self._folder.mkdir(mode=0o700, exist_ok=True)
        part = self._folder / f".part-{uuid.uuid4().hex}"
        try:
            size = await self._save(part, body)
            await asyncio.to_thread(kind_of, part)
            number = await asyncio.to_thread(self._store.add, name, size, now_us())
            part.rename(self._file(number))
        except OSError as error:
            raise Refused(f"the file cannot be kept: {error.strerror}", code="import.disk",
                          hint="Free some space first", status=507) from error  # fmt: skip
        finally:
            part.unlink(missing_ok=True)
        self._wake.set()
        return await self.one(number)

    async def _save(self, path: Path, body: AsyncIterator[bytes]) -> int:
        size, looked = 0, -_LOOK_AT_DISK
        with path.open("wb") as file:
            os.fchmod(file.fileno(), 0o600)
            async for chunk in body:
                size += len(chunk)
                if size > self._max_bytes:
                    raise Refused(f"the file is larger than {self._max_bytes / 1e9:g} GB",
                                  hint="Import it in parts, or raise exchange.import_max_gb",
                                  code="import.size", status=413)  # fmt: skip
                if size - looked >= _LOOK_AT_DISK:
                    looked = size
                    if shutil.disk_usage(self._folder).free < _RESERVE:
                        raise Refused("less than 1 GB of the disk would stay free",
                                      hint="Free some space first", code="import.disk",
                                      status=507)  # fmt: skip
                await asyncio.to_thread(file.write, chunk)
        return size

    async def all(self) -> list[dict[str, Any]]:
        """Return all imports, newest first, without their forms."""
        rows = await asyncio.to_thread(self._store.list)
        return [self._brief(row) for row in rows]

    async def one(self, number: int) -> dict[str, Any]:
        """Return one import with its form and what the check has found."""
        row = await asyncio.to_thread(self._store.get, number)
        return {**self._brief(row), "form": row.form or None, "summary": row.summary or None}

    async def check(self, number: int, form: Mapping[str, Any]) -> dict[str, Any]:
        """Check again by another form."""
        Form.from_dict(form)
        await self._turn(number, ["checking", "waiting", "failed"], "checking", form=dict(form),
                         summary={}, note="", unless_started=True)  # fmt: skip
        return await self.one(number)

    async def start(self, number: int, *, skip_problems: bool) -> dict[str, Any]:
        """Begin to store; with problems only where the user leaves those cells out."""
        row = await asyncio.to_thread(self._store.get, number)
        if row.state == "waiting" and row.summary.get("problems") and not skip_problems:
            raise Refused(f"{row.summary['problems']} cells of the file cannot be stored",
                          hint="Correct the file or the form, or leave those cells out"
                          " (skip_problems)", code="import.problems", status=409)  # fmt: skip
        await self._turn(number, ["waiting"], "running", started=now_us(), note="",
                         skip_problems=int(skip_problems))  # fmt: skip
        return await self.one(number)

    async def pause(self, number: int) -> dict[str, Any]:
        """Stop after the piece that is on its way."""
        await self._turn(number, ["running"], "paused", note="")
        return await self.one(number)

    async def resume(self, number: int) -> dict[str, Any]:
        """Go on where it stopped; also after it failed."""
        row = await asyncio.to_thread(self._store.get, number)
        states = ["paused", "failed"] if row.started and not row.finished else ["paused"]
        await self._turn(number, states, "running", note="")
        return await self.one(number)

    async def cancel(self, number: int) -> dict[str, Any]:
        """End it; what was stored so far stays."""
        note = "cancelled; the samples stored so far stay"
        await self._turn(number, ["checking", "waiting", "running", "paused"], "failed", note=note,
                         finished=now_us())  # fmt: skip
        self._file(number).unlink(missing_ok=True)
        return await self.one(number)

    async def remove(self, number: int) -> None:
        """Forget an import that is not running, and its file; what it brought stays."""
        row = await asyncio.to_thread(self._store.get, number)
        if row.state == "running":
            raise Refused(f"import {number} is running", hint="Cancel it first",
                          code="import.state", status=409)  # fmt: skip
        await asyncio.to_thread(self._store.remove, number)
        self._stop(number)
        self._file(number).unlink(missing_ok=True)

    async def run(self) -> None:
        """Check and store, one import at a time, for ever; goes on where a crash stopped it."""
        for left in self._folder.glob(".part-*"):
            left.unlink(missing_ok=True)
        while True:
            self._wake.clear()
            rows = await asyncio.to_thread(self._store.list)
            due = [row for row in rows if row.state in {"checking", "running"}]
            if not due:
                with suppress(TimeoutError):
                    async with asyncio.timeout(_IDLE_S):
                        await self._wake.wait()
                continue
            try:
                await self._work(due[-1])
            except OperationalError:  # a full disk: it is tried again from the last place
                _LOG.exception("import %s cannot note how far it is", due[-1].id)
                await asyncio.sleep(_IDLE_S)

    async def _work(self, row: ImportRow) -> None:
        self._halt.clear()
        self._active, self._checked_rows, self._rate = row.id, 0, 0.0
        try:
            current = await asyncio.to_thread(self._store.get, row.id)
            if current.state == "checking":
                await asyncio.to_thread(self._check, current)
            elif current.state == "running":
                await self._store_samples(current)
        except LineshaftError as error:
            if isinstance(error, Broken) and error.retryable:
                await self._note(row.id, str(error))
                await asyncio.sleep(_WAIT_S)
            else:
                await self._fail(row.id, str(error))
        except OperationalError:
            raise
        except Exception as error:
            _LOG.exception("import %s failed", row.id)
            await self._fail(row.id, f"the platform failed at this file: {type(error).__name__}")
        finally:
            self._active = 0

    def _check(self, row: ImportRow) -> None:
        """Guess the form where there is none, read the whole file, keep what was found."""
        path, signals = self._path(row), self._signals()
        if row.form:
            form = Form.from_dict(row.form)
        else:
            prefix = f"{self._prefix}/imports/files/{slug(Path(row.name).stem)}"
            form = guess_file(path, prefix, [signal.path for signal in signals])
            self._store.turn(row.id, ["checking"], form=form.as_dict())

        def go_on(rows: int) -> bool:
            self._checked_rows = rows
            return not self._halt.is_set()

        resolver = Resolver(form, signals, self._conversion)
        found = check_file(path, form, now_us() + _AHEAD_US, resolver, go_on)
        if found is not None:
            self._store.turn(row.id, ["checking"], state="waiting", summary=found[0],
                               targets=found[1], note="")  # fmt: skip

    async def _store_samples(self, row: ImportRow) -> None:
        form = Form.from_dict(row.form)
        path = self._path(row)
        targets = await asyncio.to_thread(self._settle_signals, row)
        await self._tell(row, "import.started", row.started, rows=row.summary["rows"],
                         signals=row.summary["signals"])  # fmt: skip
        parser = run_parser(form, row.started + _AHEAD_US, targets)
        there = await self._there(row)
        place, samples, seq = Place(*row.place), row.samples, row.seq
        found = pieces(path, form, place)
        began, before = monotonic_s(), samples
        while not self._halt.is_set():
            piece = await asyncio.to_thread(next, found, None)
            if piece is None:
                await self._finish(row)
                return
            blocks = await asyncio.to_thread(self._blocks, row, parser, piece, there)
            there = ""
            for block, is_there in blocks:
                sent = seq if is_there else await self._publish(row.id, block)
                if sent is None:
                    return
                seq, samples = sent, samples + len(block)
            place = piece.end
            await asyncio.to_thread(
                self._store.progress, row.id, astuple(place), place.rows, samples, seq
            )
            self._rate = (samples - before) / max(0.001, monotonic_s() - began)
            await self._keep_pace(row.id, seq)

    def _settle_signals(self, row: ImportRow) -> Sequence[Mapping[str, Any]]:
        """Give new signals their sids; the same ones when this is done again."""
        targets = [dict(target) for target in self._store.targets(row.id)]
        new = drafts(targets, row.name)
        if new:
            known = {signal.path: signal for signal in self._signals()}
            same = {path: (signal.unit, signal.kind) for path, signal in known.items()}
            changed = [d for d in new if same.get(d.path, (d.unit, d.kind)) != (d.unit, d.kind)]
            if changed:
                raise Refused(f"{changed[0].path} has come into being since the file was checked",
                              hint="Check the file again", code="import.changed")  # fmt: skip
            missing = [draft for draft in new if draft.path not in known]
            made = {one.path: one.sid for one in self._directory.register(missing)}
            sids = {path: signal.sid for path, signal in known.items()} | made
            for target in targets:
                target["sid"] = target["sid"] or sids.get(target["path"], 0)
            self._store.turn(row.id, ["running"], targets=targets)
        return targets

    async def _there(self, row: ImportRow) -> str:
        """Return the id of the last block of this import in the stream, where it lies beyond what
        is noted."""
        site = self._bus.site
        subject = f"ls.{site}.data.{_origin(row.id)}"
        last = await self._bus.streams.patiently(
            self._bus.streams.last_of, data_stream(site), subject
        )
        return last.id if last is not None and last.seq != row.seq else ""

    def _blocks(
        self, row: ImportRow, parser: Parser, piece: Piece, there: str
    ) -> list[tuple[SampleBlock, bool]]:
        """Return the blocks of a piece, and whether each is in the stream already: all up to the
        one whose message is called `there`."""
        cells = parser.parse(piece.table)
        if (cells.wrong or piece.ragged) and not row.skip_problems:
            raise Broken("the file has problems now that it had not when it was checked",
                         code="import.changed", retryable=False)  # fmt: skip
        blocks = list(blocks_of(cells, parser.targets, _origin(row.id), row.started))
        ids = [block.message_id(block.encode()) for block in blocks] if there else []
        done = ids.index(there) + 1 if there in ids else 0
        return [(block, i < done) for i, block in enumerate(blocks)]

    async def _publish(self, number: int, block: SampleBlock) -> int | None:
        """Return the block's number in the stream, None where the import is to stop before."""
        waited = False
        while not self._halt.is_set():
            try:
                seq = await self._bus.publish(block)
            except Broken as error:
                if error.code != "bus.full":
                    raise
                waited = True
                await self._note(number, "the bus is full; waiting until it has room")
                await asyncio.sleep(_WAIT_S)
            else:
                if waited:
                    await self._note(number, "")
                return seq
        return None

    async def _keep_pace(self, number: int, seq: int) -> None:
        """Wait while the writer is far behind: what waits in the stream fills memory elsewhere."""
        waited = False
        while not self._halt.is_set():
            row = await asyncio.to_thread(self._catalogue.row)
            if row is None or seq - row.last.position <= _AHEAD:
                break
            if not waited:
                await self._note(number, "waiting until history has stored what was sent")
            waited = True
            await asyncio.sleep(_WAIT_S)
        if waited:
            await self._note(number, "")

    async def _finish(self, row: ImportRow) -> None:
        finished = row.finished or now_us()
        await asyncio.to_thread(self._store.turn, row.id, ["running"], finished=finished)
        done = await asyncio.to_thread(self._store.get, row.id)
        await self._tell(row, "import.finished", finished, rows=done.rows, samples=done.samples)
        await asyncio.to_thread(self._store.turn, row.id, ["running"], state="done", note="")
        self._file(row.id).unlink(missing_ok=True)

    async def _fail(self, number: int, note: str) -> None:
        row = await asyncio.to_thread(self._store.get, number)
        changed = await asyncio.to_thread(
            self._store.turn, number, ["checking", "running"], state="failed", note=note
        )
        if changed and row.started:
            await self._tell(row, "import.failed", now_us(), reason=note, rows=row.rows)

    async def _tell(self, row: ImportRow, kind: str, at: int, **body: Any) -> None:
        await self._bus.tell(Fact(kind, at, _origin(row.id), {"name": row.name, **body}))

    async def _note(self, number: int, note: str) -> None:
        await asyncio.to_thread(self._store.turn, number, ["checking", "running"], note=note)

    async def _turn(
        self, number: int, states: list[str], state: str, *, unless_started: bool = False,
        **values: Any,
    ) -> None:  # fmt: skip
        """Bring an import from one of some states to another; Refused where it is in none."""
        row = await asyncio.to_thread(self._store.get, number)
        changed = not (unless_started and row.started) and await asyncio.to_thread(
            lambda: self._store.turn(number, states, state=state, **values)
        )
        if not changed:
            raise Refused(f"import {number} is {row.state}", code="import.state", status=409,
                          hint=f"This can be done while it is {' or '.join(states)}")  # fmt: skip
        self._stop(number)

    def _stop(self, number: int) -> None:
        if self._active == number:
            self._halt.set()
        self._wake.set()

    def _brief(self, row: ImportRow) -> dict[str, Any]:
        active = row.id == self._active
        content = asdict(row)
        for name in ("form", "summary", "place", "seq"):
            del content[name]
        checking = self._checked_rows if active and row.state == "checking" else 0
        return {
            **content, "rows": checking or row.rows, "rows_total": row.summary.get("rows", 0),
            "problems": row.summary.get("problems", 0), "rate": self._rate if active else 0.0,
        }  # fmt: skip

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.data"

    def _path(self, row: ImportRow) -> Path:
        path = self._file(row.id)
        if not path.exists():
            raise Refused(f"the file of import {row.id} is not there any more",
                          hint="Upload it again", code="import.file")  # fmt: skip
        return path


def _origin(number: int) -> str:
    return f"import-{number}"
