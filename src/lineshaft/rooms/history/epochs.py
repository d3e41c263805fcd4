"""Where to go on reading a stream, whatever happened to it.

The catalogue remembers the stream's token and the id of the last message it kept. Another token
means another stream; another id under the same number, or fewer messages than were kept, mean that
the stream was rolled back (a restored disk, a power loss on a store that lied). Both open a new
epoch, whose numbers win over those before; nothing that was kept is touched.
"""

from collections.abc import Awaitable, Callable

from lineshaft.bus import Streams, StreamState
from lineshaft.rooms.history.model import Checkpoint, StreamRow
from lineshaft.rooms.history.store import Catalogue

__all__ = ["find_start", "still_there"]

Told = Callable[[str], Awaitable[None]]


async def find_start(
    streams: Streams, catalogue: Catalogue, row: StreamRow, now: int, tell: Told
) -> Checkpoint:
    """Return after which message to go on; opens a new epoch where the stream is another one.

    `tell` gets the reason in words, before the epoch is opened: a crash in between tells it twice
    and never not at all.
    """
    state = await streams.patiently(streams.state, row.name)
    if await still_there(streams, row, state):
        return row.last
    start = Checkpoint(row.last.epoch + 1, max(state.first - 1, 0), "")
    if row.token == state.token:
        start = await _newest_common(streams, catalogue, row, state) or start
        await tell("the stream was rolled back")
    elif row.token:
        await tell("the stream was made anew")
    catalogue.open_epoch(row.lease, state.token, start, now)
    return start


async def still_there(streams: Streams, row: StreamRow, state: StreamState) -> bool:
    """Return whether this is the stream that the catalogue knows, up to the last kept message."""
    if row.token != state.token:
        return False
    return await _holds(streams, row.name, state, row.last)


async def _newest_common(
    streams: Streams, catalogue: Catalogue, row: StreamRow, state: StreamState
) -> Checkpoint | None:
    """Return where to start a new epoch: after the newest commit that the stream still holds."""
    for point in catalogue.checkpoints():
        of_this = point.epoch == row.last.epoch and point.position >= state.first
        if of_this and await _holds(streams, row.name, state, point):
            return Checkpoint(row.last.epoch + 1, point.position, point.message_id)
    return None


async def _holds(streams: Streams, name: str, state: StreamState, point: Checkpoint) -> bool:
    return await streams.patiently(streams.holds, name, state, point.position, point.message_id)
