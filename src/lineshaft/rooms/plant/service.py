"""The hands of the room `plant`: the list of signals as the doors hand it out."""

from dataclasses import asdict
from typing import Any

from lineshaft.rooms.plant.store import SignalStore

__all__ = ["PlantService"]


class PlantService:
    """Answers what there is; safe to call from any thread."""

    def __init__(self, store: SignalStore) -> None:
        self._store = store

    def signals(self, prefix: str = "", source: str = "") -> list[dict[str, Any]]:
        """Return the signals below a path prefix and of a source, by path, as plain values."""
        found = self._store.list(prefix=prefix, source=source)
        return [
            {**asdict(listed.signal), "kind": listed.signal.kind.value,
             "unit_note": listed.unit_note}
            for listed in found
        ]  # fmt: skip
