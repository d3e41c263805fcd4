"""Messages of the bus in a file: what was accepted after the cut, byte for byte, in order.

The file is Arrow IPC, a row a message: its number and time in the stream that was, subject, headers
(JSON), content. Restored, they get new numbers in a new stream and keep their ids, so whoever sends
one of them again is recognised.
"""

import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import IO, Any, Final

import pyarrow as pa

from lineshaft.bus import Bus, Gone, Message, StreamState
from lineshaft.core.errors import Broken
from lineshaft.keep.manifest import StreamCut, refuse
from lineshaft.rooms.history.model import StreamRow

__all__ = ["read_messages", "save_messages"]

_FORM: Final = pa.schema(
    [
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("at", pa.int64(), nullable=False),
        pa.field("subject", pa.utf8(), nullable=False),
        pa.field("headers", pa.utf8(), nullable=False),
        pa.field("data", pa.large_binary(), nullable=False),
    ]
)
_GROUP: Final = 256
_GROUP_BYTES: Final = 16 * 1024 * 1024
_NO_STREAM: Final = "bus.10059"


async def save_messages(bus: Bus, stream: str, known: StreamRow | None, folder: Path) -> StreamCut:
    """Write all messages of a stream after the position that is `known` into their file.

    A stream that the database does not know, or that was replaced since, is written whole.
    """
    try:
        state = await bus.streams.patiently(bus.streams.state, stream)
    except Broken as error:
        if error.code != _NO_STREAM:
            raise
        state = StreamState("", 1, 0, 0)
    last = known.last if known else None
    after, message_id = max(state.first - 1, 0), ""
    if known and last and known.token == state.token:
        after, message_id = last.position, last.message_id
    gone: list[tuple[int, int, int]] = []
    count = rows = 0
    file = folder / "bus" / f"{stream}.arrow"
    file.parent.mkdir(exist_ok=True, mode=0o700)
    with file.open("wb") as place, pa.ipc.new_stream(place, _FORM) as out:
        group: list[Message] = []
        size = 0
        if state.last > after:
            async with aclosing(bus.streams.follow(stream, after, message_id)) as items:
                async for item in _until(items, state.last):
                    if isinstance(item, Gone):
                        gone.append((item.first, item.last, item.at))
                        continue
                    group.append(item)
                    count, rows = count + 1, rows + _samples(item)
                    size += len(item.data)
                    if size > _GROUP_BYTES or len(group) >= _GROUP:
                        group, size = _write(out, group), 0
        _write(out, group)
    file.chmod(0o600)
    return StreamCut(stream, last.epoch if last else 0, after, max(state.last, after), count, rows,
                     tuple(gone))  # fmt: skip


async def _until(
    items: AsyncGenerator[Message | Gone, None], last: int
) -> AsyncGenerator[Message | Gone, None]:
    async for item in items:
        yield item
        if (item.last if isinstance(item, Gone) else item.seq) >= last:
            return


def _write(out: Any, group: list[Message]) -> list[Message]:
    if group:
        columns = [
            pa.array([one.seq for one in group], pa.int64()),
            pa.array([one.at for one in group], pa.int64()),
            pa.array([one.subject for one in group], pa.utf8()),
            pa.array([json.dumps(dict(one.headers)) for one in group], pa.utf8()),
            pa.array([one.data for one in group], pa.large_binary()),
        ]
        out.write_batch(pa.RecordBatch.from_arrays(columns, schema=_FORM))
    return []


def read_messages(file: IO[bytes]) -> Iterator[Message]:
    """Hand out the messages of a file in order; raise Refused where it is not in form."""
    try:
        with pa.ipc.open_stream(file) as stream:
            if not stream.schema.equals(_FORM):
                raise refuse("a file of messages is not in form")
            for batch in stream:
                for row in batch.to_pylist():
                    headers = json.loads(row["headers"])
                    yield Message(row["seq"], row["at"], row["subject"], headers, row["data"])
    except (pa.ArrowException, ValueError) as error:
        raise refuse(f"a file of messages is not in form: {error}"[:300]) from None


def _samples(message: Message) -> int:
    count = message.headers.get("Ls-Count", "0")
    return int(count) if count.isdecimal() else 0
