"""A simulated plant as a process: settings in, an OPC UA server and a panel out.

The plant keeps two things in its folder: its certificate and key (`pki/own`), and the last number
of its counter, so that a plant that was killed counts on where it stopped. The number is kept
before it is shown: after a crash one may be missing, none comes twice.
"""

import asyncio
import contextlib
import gc
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from lineshaft.clock import monotonic_s, now_us
from lineshaft.core.errors import Broken, Refused
from lineshaft.plants.panel import PanelHandler
from lineshaft.plants.pki import Identity, TrustList, make_identity, thumbprint
from lineshaft.plants.plant import Plant
from lineshaft.plants.server import PlantServer, ServerSettings
from lineshaft.plants.signals import PlantSpec
from lineshaft.plants.simulation import Simulation

__all__ = ["PlantSettings", "RunningPlant", "choose_plant", "open_plant", "run_plant"]

_URI: Final = "urn:lineshaft:plant"


@dataclass(frozen=True, slots=True)
class PlantSettings:
    """How a plant runs. Folders default to `folder/pki/...`; port 0 means any free one."""

    folder: Path
    user: str
    password: str = field(repr=False)
    kind: Literal["auto", "tep", "williams-otto"] = "auto"
    host: str = "127.0.0.1"
    port: int = 0
    speed: int = 1
    counter_period_ms: int = 100
    heartbeat_timeout_s: float = 10.0
    trust_clients: Literal["list", "any"] = "list"
    trusted: Path | None = None
    quarantine: Path | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if not self.user or len(self.password) < 8:
            raise Refused(
                "a plant needs a user and a password of at least 8 characters",
                code="plant.settings",
            )
        if self.counter_period_ms < 1:
            raise Refused("the counter's period is at least 1 ms", code="plant.settings")


@dataclass(frozen=True, slots=True)
class RunningPlant:
    """A plant that listens: where, which, what there is to say about it, and its panel."""

    endpoint: str
    kind: str
    notice: str
    spec: PlantSpec
    panel: PanelHandler
    certificate: Path
    thumbprint: str


def choose_plant(kind: str, seed: int | None = None) -> tuple[Plant, str]:
    """Return the plant asked for and the notice to show at its first start.

    "auto" is Tennessee Eastman where it can run, else Williams-Otto with one sentence that says
    why. Raises Broken where "tep" cannot run, Refused for an unknown kind.
    """
    # Imported here: each costs a start that the other kind does not need.
    from lineshaft.plants.tep import TepPlant
    from lineshaft.plants.williams_otto import WilliamsOttoPlant

    seeded = {} if seed is None else {"seed": seed}
    why = ""
    if kind in ("auto", "tep"):
        try:
            plant = TepPlant(**seeded)
            return plant, plant.notice
        except Broken as broken:
            if kind == "tep":
                raise
            why = f"{broken.message}, so the Williams-Otto reactor runs instead. {broken.hint}.\n"
    elif kind != "williams-otto":
        raise Refused(
            f"there is no plant '{kind[:40]}'",
            hint="Choose tep, williams-otto or auto",
            code="plant.kind",
        )
    reactor = WilliamsOttoPlant(**seeded)
    return reactor, why + reactor.notice


async def run_plant(
    settings: PlantSettings,
    stop: asyncio.Event,
    *,
    on_ready: Callable[[RunningPlant], None] = lambda running: None,
) -> None:
    """Run a plant until `stop` is set; call `on_ready` once it listens."""
    async with open_plant(settings) as running:
        on_ready(running)
        await stop.wait()


@contextlib.asynccontextmanager
async def open_plant(settings: PlantSettings) -> AsyncIterator[RunningPlant]:
    """Run a plant inside the block. Raises Broken or Refused before it where it cannot run."""
    (plant, notice), identity = await asyncio.gather(
        asyncio.to_thread(choose_plant, settings.kind, settings.seed),
        asyncio.to_thread(_identity, settings),
    )
    simulation = Simulation(
        plant, speed=settings.speed, heartbeat_timeout_s=settings.heartbeat_timeout_s
    )
    pki = settings.folder / "pki"
    trust = TrustList(
        settings.trusted or pki / "trusted",
        settings.quarantine or pki / "quarantine",
        anyone=settings.trust_clients == "any",
    )
    server = PlantServer(
        plant.spec,
        ServerSettings(settings.host, settings.port, settings.user, settings.password),
        identity,
        trust,
        lambda key, value: simulation.write(key, value, monotonic_s()),
    )
    await server.prepare()
    await server.update(simulation.values(), now_us(), tripped=False)
    counter = _Counter(settings.folder / "counter")
    await server.start()
    # The address space lives as long as the server: a collection that walks through its half a
    # million objects would hold up the counter by some hundred milliseconds.
    gc.freeze()
    try:
        async with _running(
            _tick(simulation, server), _count(counter, server, settings.counter_period_ms / 1000)
        ):
            yield RunningPlant(
                endpoint=server.endpoint,
                kind=plant.spec.name,
                notice=notice,
                spec=plant.spec,
                panel=PanelHandler(simulation),
                certificate=identity.certificate,
                thumbprint=thumbprint(identity.certificate.read_bytes()),
            )
    finally:
        gc.unfreeze()
        await server.stop()
        counter.close()


@contextlib.asynccontextmanager
async def _running(*loops: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run endless loops beside the block; one that fails ends the block with its error."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(loop) for loop in loops]
        yield
        for task in tasks:
            task.cancel()


async def _tick(simulation: Simulation, server: PlantServer) -> None:
    async for _ in _every(lambda: simulation.tick_s):
        await simulation.tick(monotonic_s())
        tripped = simulation.plant.trip is not None
        await server.update(simulation.values(), now_us(), tripped=tripped)


async def _count(counter: "_Counter", server: PlantServer, period_s: float) -> None:
    async for _ in _every(lambda: period_s):
        await server.count(counter.next(), now_us())


async def _every(period_s: Callable[[], float]) -> AsyncIterator[None]:
    """Yield once a period; after a stall go on from now, never catch up in a burst."""
    due = monotonic_s()
    while True:
        yield
        due = max(due + period_s(), monotonic_s())
        await asyncio.sleep(max(0.0, due - monotonic_s()))


class _Counter:
    """A number that only goes up, kept in a file across restarts."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        text = os.pread(self._handle, 32, 0).decode("ascii", "replace").strip()
        self._number = int(text) if text.isdecimal() else 0

    def next(self) -> int:
        """Return the next number, kept already."""
        self._number += 1
        os.pwrite(self._handle, b"%020d\n" % self._number, 0)
        return self._number

    def close(self) -> None:
        """Let the file go."""
        os.close(self._handle)


def _identity(settings: PlantSettings) -> Identity:
    return make_identity(
        settings.folder / "pki" / "own",
        name="Lineshaft simulated plant",
        uri=_URI,
        hosts=sorted({settings.host, "127.0.0.1", "localhost"}),
    )
