"""A journal in memory, for chains under test: the steps are those of the engine's own Book."""

from collections.abc import Sequence

from lineshaft.core.commands import Command, Outcome
from lineshaft.rooms.decide.engine.guards import Move
from lineshaft.rooms.decide.engine.journal import Book, Entry

__all__ = ["MemoryJournal"]


class MemoryJournal:
    """A Journal without a disk; outlives the chains that use it, as a disk would."""

    def __init__(self) -> None:
        self.book = Book()

    async def open(self, command: Command) -> tuple[Entry, bool]:
        return self.book.open(command)

    async def send(self, command: str, at: int) -> bool:
        return self.book.send(command, at)

    async def end(self, outcome: Outcome) -> Outcome:
        return self.book.end(outcome)

    async def pending(self) -> Sequence[Entry]:
        return self.book.pending()

    async def moves(self, sid: int) -> Sequence[Move]:
        return self.book.moves(sid)
