"""The doors of the machine's limits: what it can take, beside what the platform does now.

Rules: looking costs some milliseconds every few seconds; the machine itself is measured once for a
data folder, in a process of its own, and again when an administrator asks. `lineshaft doctor` gets
the same answer over the bus.
"""

import asyncio
import sys
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil
from fastapi import APIRouter
from pydantic import BaseModel, Field

from lineshaft.bus import Bus
from lineshaft.bus.client import data_stream, fact_stream
from lineshaft.bus.server import FACT_BYTES
from lineshaft.children import die_with_parent
from lineshaft.clock import monotonic_s
from lineshaft.core.errors import Broken
from lineshaft.keep.capacity import Load, Probe, capacity, lines_of, sentence
from lineshaft.web.system import Overview

__all__ = ["Limits", "limits_router"]

_LOOK_S: Final = 5.0
_WINDOW: Final = 13  # looks: a minute, which holds a commit of the writer
_THREADS: Final = Path("/proc/sys/kernel/threads-max")


class LimitView(BaseModel):
    """One limit and how much of it is used."""

    name: str
    unit: str = Field(description="samples (a second), cores, bytes or count")
    now: float
    limit: float | None = Field(description="null where it is unknown")
    share: float | None
    found: str = Field(description="probe, observed, system, settings or unknown")
    samples: float | None = Field(description="samples a second that it lets through")


class LimitsView(BaseModel):
    """What this machine can take, estimated from what was measured on it."""

    samples_per_s: float | None = Field(description="samples a second it can take; null: unknown")
    now: float = Field(description="samples a second that come")
    first: str | None = Field(description="the limit that gives out first")
    measured_at: int | None = Field(description="when disk and writer were measured")
    sentence: str
    limits: list[LimitView]


class Limits:
    """Looks at the load for ever; `signals` counts them, `max_bytes` is what the stream may take.
    Its time is that of the process `web`."""

    def __init__(
        self, bus: Bus, overview: Overview, folder: Path, signals: Callable[[], int], max_bytes: int
    ) -> None:
        self._bus, self._overview, self._folder = bus, overview, folder
        self._signals, self._max_bytes = signals, max_bytes
        self._load = Load()
        self._used: dict[int, tuple[float, float]] = {}
        self._written = deque[tuple[float, float]](maxlen=_WINDOW)
        self._measuring = asyncio.Lock()

    async def run(self) -> None:
        """Look for ever, and answer the doctor."""

        async def answer(_: Mapping[str, Any]) -> Mapping[str, Any]:
            return self.view().model_dump()

        await self._bus.serve("web", "limits", answer)
        while True:
            streams = {}
            with suppress(Broken):
                for name, stream, most in (
                    ("stream", data_stream(self._bus.site), self._max_bytes),
                    ("facts", fact_stream(self._bus.site), FACT_BYTES),
                ):
                    streams[name] = (float((await self._bus.streams.state(stream)).bytes), most)
            self._load = await asyncio.to_thread(self._look, streams)
            await asyncio.sleep(_LOOK_S)
            if Probe.kept(self._folder) is None:
                with suppress(Broken):  # a full disk: later
                    await self.measure()

    async def measure(self) -> None:
        """Measure the machine anew; Broken where that fails."""
        async with self._measuring:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "lineshaft.keep.probe", str(self._folder),
                stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
                preexec_fn=die_with_parent,
            )  # fmt: skip
            if await process.wait():
                raise Broken("this machine could not be measured", code="limits.probe",
                             hint="See whether the disk is full")  # fmt: skip

    def _look(self, streams: Mapping[str, tuple[float, float]]) -> Load:
        now, cores, threads = monotonic_s(), {}, 0
        files, used = (0.0, 1.0), {}
        for row in self._overview.processes():
            with suppress(psutil.Error, TypeError):
                process = psutil.Process(row["pid"])
                cpu, most = sum(process.cpu_times()[:2]), process.rlimit(psutil.RLIMIT_NOFILE)[0]
                files = max(files, (process.num_fds(), most), key=lambda pair: pair[0] / pair[1])
                threads += process.num_threads()
                before, spent = self._used.get(process.pid, (now, cpu))
                cores[row["name"]] = (cpu - spent) / max(now - before, 0.001)
                used[process.pid] = (now, cpu)
        self._used = used
        shown, memory = self._overview.shown, sum(self._overview.memory.values()) * 1e6
        self._written.append((float(shown.get("stored_rows", 0)), float(shown.get("busy_s", 0))))
        (rows, busy), (rows_now, busy_now) = self._written[0], self._written[-1]
        if busy_now < busy:  # history was started again
            self._written.clear()
        held = {
            "memory": (memory, memory + psutil.virtual_memory().available), "files": files,
            "threads": (threads, float(_THREADS.read_text())), **streams,
        }  # fmt: skip
        return Load(
            self._overview.samples_per_s, (max(rows_now - rows, 0.0), max(busy_now - busy, 0.0)),
            cores, psutil.cpu_count() or 1, held, self._signals(),
        )  # fmt: skip

    def view(self) -> LimitsView:
        """Return the limits now."""
        probe = Probe.kept(self._folder)
        lines = lines_of(self._load, probe)
        first = capacity(lines)
        return LimitsView(
            samples_per_s=first.samples if first else None, now=self._load.samples_per_s,
            first=first.name if first else None, measured_at=probe.at if probe else None,
            sentence=sentence(lines, self._load.samples_per_s),
            limits=[
                LimitView(name=line.name, unit=line.unit, now=line.now, limit=line.limit,
                          share=line.share, found=line.found, samples=line.samples)
                for line in lines
            ],
        )  # fmt: skip


def limits_router(limits: Limits) -> APIRouter:
    """Return the operations."""
    api = APIRouter(tags=["system"])

    @api.get("/system/limits", summary="What this machine can take, and what it does now",
             openapi_extra={"x-right": "system.read"})  # fmt: skip
    async def system_limits() -> LimitsView:
        return limits.view()

    @api.post("/system/limits", summary="Measure this machine anew: two seconds of disk and CPU",
              openapi_extra={"x-right": "system.admin"})  # fmt: skip
    async def measure_limits() -> LimitsView:
        await limits.measure()
        return limits.view()

    return api
