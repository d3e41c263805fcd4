"""Where to go on reading a stream, whatever happened to it.

The catalogue remembers the stream's token and the id of the last message it kept. Another token
means another stream; another id under the same number, or fewer messages than were kept, mean that
the stream was rolled back (a restored disk, a power loss on a store that lied). Both open a new
epoch, whose numbers win over those before; nothing that was kept is touched.
"""

from lineshaft.bus import Streams
from lineshaft.rooms.history.model import Checkpoint, StreamRow
from lineshaft.rooms.history.store import Catalogue

__all__ = ["find_start"]


async def find_start(
    streams: Streams, catalogue: Catalogue, row: StreamRow, now: int
) -> tuple[Checkpoint, str]:
    """Return after which message to go on, and in words why a new epoch began ("" where none)."""
    state = await streams.state(row.name)
    last = row.last
    if row.token != state.token:
        start = Checkpoint(last.epoch + 1, max(state.first - 1, 0), "")
        reason = "the stream was made anew" if row.token else ""
        catalogue.open_epoch(row.lease, state.token, start, now)
        return start, reason
    if await _holds(streams, row.name, state.last, last):
        return last, ""
    start = Checkpoint(last.epoch + 1, max(state.first - 1, 0), "")
    for point in catalogue.checkpoints():
        same_epoch = point.epoch == last.epoch and point.position >= state.first
        if same_epoch and await _holds(streams, row.name, state.last, point):
            start = Checkpoint(last.epoch + 1, point.position, point.message_id)
            break
    catalogue.open_epoch(row.lease, state.token, start, now)
    return start, "the stream was rolled back"


async def _holds(streams: Streams, name: str, newest: int, point: Checkpoint) -> bool:
    """Return whether the stream still has the message that the checkpoint names."""
    if point.position == 0:
        return True
    if newest < point.position:
        return False
    message = await streams.message(name, point.position)
    # A message that was purged cannot speak against the checkpoint.
    return message is None or not point.message_id or message.id == point.message_id
