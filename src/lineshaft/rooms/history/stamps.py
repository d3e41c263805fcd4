"""The newest stored stamps, for a connector that comes back after the stream forgot it."""

from collections.abc import Mapping, Sequence

from sqlalchemy import Engine

from lineshaft.rooms.history.engine.rows import Rows
from lineshaft.rooms.history.store import Catalogue

__all__ = ["LastStamps"]


class LastStamps:
    """Reads the catalogue's newest values; blocks on the database."""

    def __init__(self, engine: Engine, stream: str) -> None:
        self._catalogue = Catalogue(engine, stream)

    def of_signals(self, sids: Sequence[int]) -> Mapping[int, int]:
        """Return the newest stored stamp (µs) of each of these signals that has one."""
        _, chunks = self._catalogue.last_chunks()
        wanted = set(sids)
        found: dict[int, int] = {}
        for content in chunks.values():
            rows = Rows.from_bytes(content)
            pairs = zip(rows.sid.tolist(), rows.ts.tolist(), strict=True)
            found |= {sid: ts for sid, ts in pairs if sid in wanted}
        return found
