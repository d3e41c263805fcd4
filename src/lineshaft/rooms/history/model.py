"""The words of history: what the catalogue holds."""

from dataclasses import dataclass

__all__ = ["Checkpoint", "FileEntry", "StreamRow"]


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One Parquet file: rows of one day, and the ranges they span (all inclusive).

    `kind` is `sequence` or `late`; `rolled` where its time is over and only its roll-ups are left;
    `damaged` where the file cannot be read and the stream does not hold its rows any more: it stays
    named, was told, and is left out of answers. `path` is relative to the history folder; `seq` are
    full sequence numbers; `size` is in bytes; `rollup_size` is that of the roll-ups beside it, 0
    where it has none.
    """

    path: str
    kind: str
    day: int
    rows: int
    size: int
    sid_min: int
    sid_max: int
    ts_min: int
    ts_max: int
    seq_min: int
    seq_max: int
    rollup_size: int = 0


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A commit: everything up to number `position` of `epoch` is kept; `message_id` names that
    very message, so that a stream that was rolled back or made anew is noticed."""

    epoch: int
    position: int
    message_id: str


@dataclass(frozen=True, slots=True)
class StreamRow:
    """What the catalogue knows of a stream; `token` names the very stream that `epoch` is of."""

    name: str
    token: str
    lease: str
    last: Checkpoint
    rows: int
