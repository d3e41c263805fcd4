"""The doors of the platform itself: state of the processes, live stream, plant panel."""

import asyncio
import json
import shutil
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Protocol

import psutil
from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict, Field

from lineshaft import __version__
from lineshaft.bus import Bus
from lineshaft.bus.client import data_stream
from lineshaft.clock import monotonic_s, now_us
from lineshaft.core.errors import Broken, Refused
from lineshaft.core.ports import PlantPanel
from lineshaft.rooms.history.engine.rows import split_seq
from lineshaft.rooms.history.routes import Sids, parse_sids
from lineshaft.rooms.history.store import Catalogue
from lineshaft.rooms.history.tail import Tail
from lineshaft.web.live import Live

__all__ = ["Overview", "live_router", "panel_router", "system_router"]

_MEASURE_S = 5.0
_GROWTH_S = 600.0
_TELLING_S = 60.0


class ProcessState(BaseModel):
    """One process of the platform."""

    name: str
    state: str = Field(description="running, starting, restarting or failed")
    pid: int | None
    restarts: int
    since: int
    pss_mb: float | None = Field(description="memory that would be free without it")


class StreamView(BaseModel):
    """How far the stream and the catalogue are."""

    last_seq: int
    stored_seq: int
    lag_rows: int = Field(description="samples accepted and not yet in a file")
    stored_rows: int
    bytes: int


class DiskView(BaseModel):
    """The disk under the data folder, in bytes."""

    free: int
    used_by_history: int
    forecast_days: float | None = Field(
        description="days until it is full at the present rate; null when unknown or not growing"
    )


class SystemView(BaseModel):
    """The state of the platform."""

    version: str
    now: int
    site: str
    data_dir: str
    demo: bool
    notices: list[str]
    processes: list[ProcessState]
    stream: StreamView
    samples_per_s: float
    disk: DiskView


class PanelRequest(BaseModel):
    """A wish to the simulated plant: one of the fields."""

    model_config = ConfigDict(extra="forbid")

    speed: float | None = Field(None, gt=0, le=100_000)
    disturbance: dict[str, Any] | None = Field(None, description='{"id": 1, "on": true}')
    restart: bool | None = None


class HistoryState(Protocol):
    """What the keeping process last showed."""

    def __call__(self) -> Mapping[str, Any]: ...


class Overview:
    """Gathers the state of the platform; what costs more than a glance is measured rarely."""

    def __init__(
        self, bus: Bus, tail: Tail, folder: Path, catalogue: Catalogue, *, demo: bool
    ) -> None:
        self._bus = bus
        self._tail = tail
        self._folder = folder
        self.catalogue = catalogue
        self._demo = demo
        self.memory: dict[int, float] = {}  # MB by process id
        self._used = 0
        self._rate = (monotonic_s(), 0, 0.0)
        self._growth = deque[tuple[float, int]](maxlen=int(_GROWTH_S / _MEASURE_S))
        self.shown: Mapping[str, Any] = {}
        self.notices: list[str] = []

    async def measure(self) -> None:
        """Measure rate, memory and disk, for ever."""
        while True:
            before, count, _ = self._rate
            now, samples = monotonic_s(), self._tail.samples
            self._rate = (now, samples, (samples - count) / max(now - before, 0.001))
            self._growth.append((now, samples))
            await asyncio.to_thread(self._measure_slowly)
            self._used = (await asyncio.to_thread(self.catalogue.size))[1]
            await asyncio.sleep(_MEASURE_S)

    def _measure_slowly(self) -> None:
        measured = {}
        for process in self.processes():
            with suppress(psutil.Error):
                if pid := process.get("pid"):
                    measured[pid] = psutil.Process(pid).memory_full_info().pss / 1e6
        self.memory = measured

    @property
    def heard_samples(self) -> int:
        """Return how many samples this process has heard since it began."""
        return self._tail.samples

    @property
    def samples_per_s(self) -> float:
        """Return how many samples came a second, lately."""
        return round(self._rate[2], 1)

    def _forecast(self, free: int) -> float | None:
        """Return the days until `free` bytes are used up, at the rate of the last minutes and the
        bytes that a stored sample takes; None where nothing grows or nothing is stored yet."""
        stored = self._tail.stored_rows
        if len(self._growth) < 2 or not stored or not self._used:
            return None
        (began, before), (now, after) = self._growth[0], self._growth[-1]
        if now - began < _TELLING_S:
            return None
        rate = (after - before) / (now - began)
        if rate <= 0:
            return None
        return round(free / (rate * self._used / stored) / 86_400, 1)

    def processes(self) -> list[dict[str, Any]]:
        """Return what the supervisor says of each process."""
        try:
            listed: list[dict[str, Any]] = json.loads(
                (self._folder / "run" / "processes.json").read_text()
            )
        except (OSError, ValueError):
            return []
        return listed

    async def view(self) -> SystemView:
        """Return the state now."""
        try:
            state = await self._bus.streams.state(data_stream(self._bus.site))
            size = state.bytes
        except (Broken, TimeoutError):
            size = 0
        tail = self._tail
        waiting = sum(len(held) for held in tail.blocks() if held.seq > tail.stored)
        error = self.shown.get("error")
        free = shutil.disk_usage(self._folder).free
        return SystemView(
            version=__version__,
            now=now_us(),
            site=self._bus.site,
            data_dir=str(self._folder),
            demo=self._demo,
            notices=[*self.notices, *([error] if error else [])],
            processes=[
                ProcessState(**process, pss_mb=self.memory.get(process.get("pid") or 0))
                for process in self.processes()
            ],
            stream=StreamView(
                last_seq=split_seq(tail.newest)[1], stored_seq=split_seq(tail.stored)[1],
                lag_rows=waiting,
                stored_rows=tail.stored_rows, bytes=size,
            ),
            samples_per_s=self.samples_per_s,
            disk=DiskView(free=free, used_by_history=self._used,
                          forecast_days=self._forecast(free)),
        )  # fmt: skip


def system_router(overview: Overview) -> APIRouter:
    """Return the operation that shows the platform's state."""
    api = APIRouter(tags=["system"])

    @api.get("/system", summary="State of the platform",
             openapi_extra={"x-right": "system.read"})  # fmt: skip
    async def system() -> SystemView:
        return await overview.view()

    return api


def live_router(live: Live) -> APIRouter:
    """Return the live stream."""
    api = APIRouter(tags=["live"])

    @api.get("/live", summary="Server-sent events: values, fact, sources", response_model=None,
             response_class=StreamingResponse, openapi_extra={"x-right": "history.read"},
             responses={200: {"content": {"text/event-stream": {}}}})  # fmt: skip
    async def events(
        sid: Sids = "",
        last_event_id: Annotated[str, Header(max_length=40)] = "",
        after: Annotated[int, Query(ge=0, description="as Last-Event-ID")] = 0,
    ) -> StreamingResponse:
        seen = int(last_event_id) if last_event_id.isdecimal() else after
        stream = live.events(parse_sids(sid) if sid else [], seen)
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    return api


def panel_router(panel: PlantPanel | None) -> APIRouter:
    """Return the panel of the simulated plant; where there is none, it answers 404."""
    api = APIRouter(tags=["panel"])

    def there() -> PlantPanel:
        if panel is None:
            raise Refused("there is no simulated plant here",
                          hint="Start one with `lineshaft demo`; a real plant has no panel",
                          code="panel.none", status=404)  # fmt: skip
        return panel

    @api.get("/panel", summary="State of the simulated plant",
             openapi_extra={"x-right": "panel.read"})  # fmt: skip
    async def show() -> dict[str, Any]:
        return dict(await there().handle({}))

    @api.post("/panel", summary="Change speed, switch a disturbance, restart after a trip",
              openapi_extra={"x-right": "panel.write"})  # fmt: skip
    async def change(body: PanelRequest) -> dict[str, Any]:
        return dict(await there().handle(body.model_dump(exclude_none=True)))

    return api
