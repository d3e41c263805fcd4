"""Repair: a kept file that a disk damaged is written again from the stream, while that has it;
roll-ups from the rows beside them.

The rows come back as a late file: reads keep one row per (sid, ts), so rows that stand in a sound
file of the same commit too do no harm.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress

from lineshaft.bus import Message, Streams
from lineshaft.bus.client import decode_block
from lineshaft.core.errors import Refused
from lineshaft.core.samples import SampleBlock
from lineshaft.rooms.history.engine.commit import Part, arrange
from lineshaft.rooms.history.engine.last import LastValues
from lineshaft.rooms.history.engine.rows import Rows, bounded, full_seq, split_seq
from lineshaft.rooms.history.files import FileStore
from lineshaft.rooms.history.model import FileEntry
from lineshaft.rooms.history.store import Catalogue

__all__ = ["repair_files"]

Tell = Callable[[str, dict[str, object]], Awaitable[None]]


async def repair_files(
    streams: Streams, catalogue: Catalogue, files: FileStore, lease: str, tell: Tell
) -> None:
    """Check every named file, write damaged ones again, and tell once what could not be saved."""
    row, named = catalogue.files()
    damaged = {entry.path for entry in files.damaged(named)}
    for number, entry in enumerate(named):
        if entry.path not in damaged:
            if files.lacks_rollups(entry) and entry.kind == "rolled":
                await tell("history.damaged", _told(entry))
                catalogue.mark(lease, entry.path, "damaged")
            elif files.lacks_rollups(entry):
                again = await asyncio.to_thread(files.write_rollups, entry)
                catalogue.replace(lease, entry.path, [again])
            if entry.kind == "damaged":  # its disk is back
                catalogue.mark(lease, entry.path, files.kind_of(entry))
                await tell("history.repaired", {"file": entry.path, "rows": entry.rows})
            continue
        blocks = None
        if row is not None and row.last.epoch == split_seq(entry.seq_min)[0]:
            blocks = await _read_again(streams, catalogue.stream, entry)
        if blocks:
            part = _rows_of(entry, blocks)
            written = await asyncio.to_thread(files.write, [part], f"{lease[:8]}r{number}")
            await tell("history.repaired", {"file": entry.path, "rows": len(part.rows)})
            catalogue.replace(lease, entry.path, written)
            if entry.path != written[0].path:
                files.remove(entry)
        elif entry.kind != "damaged":
            await tell("history.damaged", _told(entry))
            catalogue.mark(lease, entry.path, "damaged")


def _told(entry: FileEntry) -> dict[str, object]:
    return {"file": entry.path, "rows": entry.rows, "from": entry.ts_min, "to": entry.ts_max}


def _rows_of(entry: FileEntry, blocks: list[tuple[int, SampleBlock]]) -> Part:
    """Return all rows of the blocks on the file's day."""
    parts = [p for p in arrange(blocks, LastValues()) if p.day == entry.day]
    return Part("late", entry.day, Rows.concat([p.rows for p in parts]))


async def _read_again(
    streams: Streams, stream: str, entry: FileEntry
) -> list[tuple[int, SampleBlock]] | None:
    """Return the blocks of a file's sequence range, or None where one is gone."""
    epoch, first = split_seq(entry.seq_min)
    _, last = split_seq(entry.seq_max)
    blocks: list[tuple[int, SampleBlock]] = []
    if (await streams.patiently(streams.state, stream)).last < last:
        return None
    async with aclosing(streams.follow(stream, first - 1)) as items:
        async for item in items:
            if not isinstance(item, Message):
                return None
            with suppress(Refused):  # it was put aside when it was first read
                block = bounded(decode_block(item.data, item.headers))
                own = block.between(entry.sid_min, entry.sid_max)
                if len(own):
                    blocks.append((full_seq(epoch, item.seq), own))
            if item.seq >= last:
                break
    return blocks
