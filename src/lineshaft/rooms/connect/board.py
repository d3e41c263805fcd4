"""The newest shown state of each source, for the doors. Imports no connector."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from lineshaft.bus import Bus
from lineshaft.rooms.connect.model import Source, SourceState, Task
from lineshaft.rooms.connect.store import SourceStore

__all__ = ["SourceBoard"]

_SILENT_US = 5_000_000
_LASTING = ("last_sample", "last_error", "gaps_24h", "certificate", "plant_speed")


class SourceBoard:
    """Hears the states that the process `connect` shows; `version` grows with each change that is
    worth a look."""

    def __init__(self, bus: Bus, store: SourceStore, now_us: Callable[[], int]) -> None:
        self._bus, self._store, self._now_us = bus, store, now_us
        self._states: dict[str, tuple[int, Mapping[str, Any]]] = {}
        self.version = 0

    async def listen(self) -> None:
        """Begin to listen; returns at once."""
        await self._bus.watch("source.>", self._heard)

    def _heard(self, topic: str, state: Mapping[str, Any]) -> None:
        source = topic.removeprefix("source.")
        before = self._states.get(source)
        self._states[source] = (self._now_us(), state)
        if before is None or before[1] != state:
            self.version += 1

    def sources(self) -> list[dict[str, Any]]:
        """Return all sources with their state; blocks on the database."""
        counts = self._store.counts()
        return [self._view(source, counts.get(source.id, 0)) for source in self._store.all()]

    def source(self, source_id: str) -> dict[str, Any]:
        """Return one source with its state; raises Refused (404) where there is none."""
        source = self._store.get(source_id)
        return self._view(source, self._store.counts().get(source_id, 0))

    def _view(self, source: Source, signals: int) -> dict[str, Any]:
        heard_at, shown = self._states.get(source.id, (0, None))
        if shown is None or self._now_us() - heard_at > _SILENT_US:
            # Nobody runs it, or nobody who tells: what was shown last is not true any more.
            state = SourceState(task=Task.STOPPED).view()
            last = shown or {}
            state |= {key: last[key] for key in _LASTING if key in last}
        else:
            state = dict(shown)
        state.pop("samples", None)
        record = asdict(source)
        del record["all_nodes"], record["revision"], record["speed"]
        return {**record, **state, "signals": signals}
