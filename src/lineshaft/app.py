"""The composition root: here, and only here, settings become engines and engines become rooms.

One coroutine a process. Each gets the bus, the database and its folder, wires ports to rooms, and
runs until `stop`. What a process does not need it does not import: the connectors' libraries stay
out of the web process, the web framework out of the writer.
"""

import asyncio
import gc
import logging
import os
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lineshaft.bus import Bus, BusAccess
from lineshaft.clock import monotonic_s
from lineshaft.core.errors import Broken, LineshaftError
from lineshaft.core.signals import Signal
from lineshaft.logs import log_as_json
from lineshaft.plan import PLANT_USER, DemoPlant, Plan
from lineshaft.settings import Http, Settings
from lineshaft.traces import start_traces, stop_traces

if TYPE_CHECKING:
    from fastapi import APIRouter
    from sqlalchemy import Engine

    from lineshaft.rooms.connect.board import SourceBoard
    from lineshaft.rooms.history.calculations import Calculations
    from lineshaft.rooms.history.exports import Exports
    from lineshaft.rooms.history.imports import Imports
    from lineshaft.rooms.history.service import HistoryService
    from lineshaft.rooms.history.tail import Tail
    from lineshaft.rooms.plant.store import SignalStore
    from lineshaft.web.limits import Limits
    from lineshaft.web.live import Live
    from lineshaft.web.people import People
    from lineshaft.web.sql import SqlDesk
    from lineshaft.web.system import Overview

__all__ = ["main"]

_STREAMS_S = 10.0
_END_S = 10
_ALONE_S = 3


@dataclass(frozen=True, slots=True)
class Ground:
    """What every process stands on."""

    plan: Plan
    settings: Settings
    folder: Path
    bus: Bus


async def run_history(ground: Ground, stop: asyncio.Event) -> None:
    """Keep samples, Facts and the ledger."""
    from lineshaft.clock import now_us
    from lineshaft.ledger.keeper import keep_ledger
    from lineshaft.records import open_records
    from lineshaft.rooms.history.service import keep_history
    from lineshaft.rooms.plant.store import SignalStore

    engine = open_records(ground.folder / "records.sqlite")
    signals = SignalStore(engine, now_us)

    def paths() -> dict[int, str]:
        return {one.signal.sid: one.signal.path for one in signals.list(retired=True)}

    folder, settings = ground.folder / "history", ground.settings.history
    ledger = keep_ledger(ground.bus, engine, ground.folder / "keys", lease=uuid.uuid4().hex)
    _settle()
    await _beside(keep_history(ground.bus, engine, folder, settings, paths, stop), ledger, stop)


async def _beside(work: Coroutine[Any, Any, None], other: Coroutine[Any, Any, None],
                  stop: asyncio.Event) -> None:  # fmt: skip
    """Run two works until the first has ended; where the other ends, it is told to stop."""
    from lineshaft.bus.streams import end

    beside = asyncio.ensure_future(other)
    beside.add_done_callback(lambda _: stop.set())
    try:
        await work
    finally:
        outcomes = await end(beside)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


async def run_connect(ground: Ground, stop: asyncio.Event) -> None:
    """Bring machines in."""
    from lineshaft.bus.client import data_stream
    from lineshaft.clock import now_us
    from lineshaft.records import open_records
    from lineshaft.rooms.connect.service import ConnectService
    from lineshaft.rooms.history.stamps import LastStamps
    from lineshaft.rooms.plant.store import SignalStore

    engine = open_records(ground.folder / "records.sqlite")
    newest = LastStamps(engine, data_stream(ground.bus.site))
    directory = SignalStore(engine, now_us)
    service = ConnectService(
        bus=ground.bus,
        engine=engine,
        directory=directory,
        settings=ground.settings,
        folder=ground.folder,
        last_stamps=lambda source: newest.of_signals([s.sid for s in directory.of_source(source)]),
    )
    _settle()
    adding = asyncio.ensure_future(_add_demo(ground, engine, service.apply))
    try:
        await service.run(stop)
    finally:
        adding.cancel()


async def _add_demo(ground: Ground, engine: "Engine", apply: Callable[[], None]) -> None:
    """Add the demo's plant as a source as soon as it has come up."""
    from lineshaft.clock import now_us
    from lineshaft.rooms.connect.demo import ensure_demo_source
    from lineshaft.rooms.connect.store import SourceStore

    plant = None
    while ground.plan.demo and plant is None:
        plant = DemoPlant.read(ground.folder)
        await asyncio.sleep(0.05)
    if plant is None:
        return
    names = {"tep": "Tennessee Eastman Process", "williams-otto": "Williams-Otto reactor"}
    certificate = await asyncio.to_thread(Path(plant.certificate).read_bytes)
    await asyncio.to_thread(
        ensure_demo_source,
        SourceStore(engine),
        ground.folder,
        endpoint=plant.endpoint,
        user=PLANT_USER,
        password=(ground.folder / "secrets" / "plant").read_text(),
        certificate=certificate,
        now_us=now_us(),
        view=plant.kind,
        name=names.get(plant.kind, plant.kind),
        prefix=f"{ground.settings.platform.enterprise}/{ground.settings.platform.site}"
        f"/chem/{'tep' if plant.kind == 'tep' else 'wo'}",
    )
    apply()


async def run_twins(ground: Ground, stop: asyncio.Event) -> None:
    """Step the twins with every sample."""
    from lineshaft.records import open_records
    from lineshaft.rooms.twins.keeper import keep_twins
    from lineshaft.rooms.twins.store import TwinStore

    store = TwinStore(open_records(ground.folder / "records.sqlite"))
    _settle()
    await keep_twins(ground.bus, store, ground.folder / "twins", stop)


async def run_decide(ground: Ground, stop: asyncio.Event) -> None:
    """Run the loops."""
    from lineshaft.app_decide import run_loops

    _settle()
    await run_loops(ground, stop)


async def run_plant(ground: Ground, stop: asyncio.Event) -> None:
    """Run the simulated plant behind its OPC UA server; its panel answers over the bus."""
    from lineshaft.plants.process import open_plant

    async with open_plant(ground.plan.plant_settings()) as running:
        _settle()
        await ground.bus.serve("plant", "panel", running.panel.handle)
        certificate = str(running.certificate)
        DemoPlant(running.endpoint, running.kind, running.notice, certificate).write(ground.folder)
        await stop.wait()


async def run_web(ground: Ground, stop: asyncio.Event) -> None:
    """Open the doors."""
    from lineshaft.web.audit import Audit
    from lineshaft.web.gate import Gate
    from lineshaft.web.listening import Doors

    application, background, people, live = build_web(ground)
    _settle()
    audit = Audit(ground.bus.tell)
    background.append(audit.run())
    http = ground.settings.http
    doors = await asyncio.to_thread(Doors, http, ground.folder)
    gate = Gate(application, people.sessions, audit, doors.hosts, is_tls=http.is_tls)
    tasks = [asyncio.ensure_future(task) for task in background]
    serving = asyncio.ensure_future(doors.serve(gate))
    ended = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({*tasks, serving, ended}, return_when="FIRST_COMPLETED")
    finally:
        live.close()
        doors.stop()
        for task in (*tasks, ended):
            task.cancel()
        outcomes = await asyncio.gather(*tasks, serving, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, Exception):
            raise outcome


def build_web(ground: Ground) -> tuple[Any, list[Any], "People", "Live"]:
    """Return the application, what must run beside it, its people and its live stream."""
    from lineshaft.app_decide import decide_doors
    from lineshaft.app_schedule import schedule_doors
    from lineshaft.app_twins import twin_doors
    from lineshaft.clock import now_us
    from lineshaft.records import open_records
    from lineshaft.rooms.connect.board import SourceBoard
    from lineshaft.rooms.connect.routes import router as connect_router
    from lineshaft.rooms.connect.store import SourceStore
    from lineshaft.rooms.history.service import HistoryService
    from lineshaft.rooms.history.tail import Tail
    from lineshaft.rooms.plant.routes import router as plant_router
    from lineshaft.rooms.plant.service import PlantService
    from lineshaft.rooms.plant.store import SignalStore
    from lineshaft.web import system
    from lineshaft.web.desk import Desk
    from lineshaft.web.desk_routes import desk_router
    from lineshaft.web.limits import limits_router
    from lineshaft.web.live import Live
    from lineshaft.web.people import People

    bus, folder = ground.bus, ground.folder
    engine = open_records(folder / "records.sqlite")
    signals = SignalStore(engine, now_us)
    people = People(engine, (folder / "keys" / "platform.key").read_text().strip())
    board = SourceBoard(bus, SourceStore(engine), now_us)
    live = Live(bus, board.sources)
    listeners: list[Callable[[int], None]] = [live.heard]
    live.tail = tail = Tail(bus, engine, _Each(listeners))
    history = HistoryService(bus, engine, folder / "history", tail)
    queries = _sql_desk(ground, engine, history, board)
    overview, limits = _overview(ground, engine, tail, lambda: len(signals.list()))
    imports, exports = _exchange(ground, engine, signals, history)
    calculations, calculation_doors = _calculations(bus, engine, signals, history, listeners)
    twins, demo_twins = twin_doors(ground, engine, signals, history, _Panel(bus))
    loop_doors, demo_loop = decide_doors(ground, engine, signals, calculations, _Panel(bus))
    schedule_router, scheduling = schedule_doors(ground, engine)
    routers = [
        *_people_routers(people, engine, ground.settings.http),
        system.system_router(overview),
        limits_router(limits),
        system.live_router(live),
        system.panel_router(_Panel(bus) if ground.plan.demo else None),
        plant_router(PlantService(signals, bus)),
        desk_router(Desk(engine, signals.missing)),
        connect_router(bus, board),
        *_history_routers(history, signals, imports, exports, queries),
        calculation_doors,
        twins,
        loop_doors,
        _ledger_doors(bus, engine),
        schedule_router,
    ]
    hearing = _hear_states(bus, overview, board, live)
    background = [tail.run(), live.follow_facts(), overview.measure(), hearing, queries.attend(),
                  imports.run(), exports.run(), calculations.run(), limits.run(),
                  *demo_loop, *scheduling, *demo_twins]  # fmt: skip
    api = _watched_api(routers, ground, overview, board, history)
    return api, background, people, live


def _overview(
    ground: Ground, engine: "Engine", tail: "Tail", signals: Callable[[], int]
) -> "tuple[Overview, Limits]":
    """Return what gathers the state of the platform, and what it may yet take."""
    from lineshaft.bus.client import data_stream
    from lineshaft.rooms.history.store import Catalogue
    from lineshaft.web.limits import Limits
    from lineshaft.web.system import Overview

    bus, folder = ground.bus, ground.folder
    catalogue = Catalogue(engine, data_stream(bus.site))
    overview = Overview(bus, tail, folder, catalogue, demo=ground.plan.demo)
    overview.notices.extend(ground.plan.notices)
    max_bytes = int(ground.settings.bus.max_gb * 1e9)
    return overview, Limits(bus, overview, folder, signals, max_bytes)


def _watched_api(
    routers: "list[APIRouter]", ground: Ground, overview: "Overview", board: "SourceBoard",
    history: "HistoryService",
) -> Any:  # fmt: skip
    """Return the application: logs and metrics among its doors, every request counted."""
    from lineshaft.rooms.history.routes import quick_last
    from lineshaft.web.doors import build_api
    from lineshaft.web.guard import Operation
    from lineshaft.web.logs import logs_router
    from lineshaft.web.metrics import Metered, Requests, metrics_router
    from lineshaft.web.shortcut import Shortcut

    requests = Requests()
    quick = {"/api/v1/last": (Operation("last", "history.read"), quick_last(history))}
    doors = [
        logs_router(ground.folder / "logs"),
        metrics_router(overview, requests, board.sources),
    ]
    api = build_api([*routers, *doors])
    api.add_middleware(Shortcut, reads=quick)
    api.add_middleware(Metered, requests=requests)
    return api


def _people_routers(people: "People", engine: "Engine", http: Http) -> "list[APIRouter]":
    from lineshaft.rooms.history.store import FactStore
    from lineshaft.web import people_routes

    return [
        people_routes.session_router(people, is_tls=http.is_tls),
        people_routes.people_router(people, http.url),
        people_routes.tokens_router(people),
        people_routes.audit_router(FactStore(engine)),
    ]


async def _hear_states(bus: Bus, overview: "Overview", board: "SourceBoard", live: "Live") -> None:
    def heard(_: str, state: Mapping[str, Any]) -> None:
        overview.shown = state

    await bus.watch("history", heard)
    await board.listen()
    await live.look_at_sources()


def _history_routers(
    history: "HistoryService", signals: "SignalStore", imports: "Imports", exports: "Exports",
    queries: "SqlDesk",
) -> "list[APIRouter]":  # fmt: skip
    from lineshaft.rooms.history.exchange_routes import router as exchange_router
    from lineshaft.rooms.history.grid_routes import router as grid_router
    from lineshaft.rooms.history.routes import router as history_router
    from lineshaft.web.sql_routes import router as sql_router

    return [
        history_router(history, signals.by_sid),
        grid_router(history, signals.by_sid),
        exchange_router(imports, exports),
        sql_router(queries),
    ]


def _sql_desk(
    ground: Ground, engine: "Engine", history: "HistoryService", board: "SourceBoard"
) -> "SqlDesk":
    """Return what answers SQL over samples, signals, Facts and sources."""
    from lineshaft.rooms.history.store import FactStore
    from lineshaft.web.sql import Snapshots, SqlDesk
    from lineshaft.web.sql_signals import SignalTable

    folder, signals = ground.folder / "history", SignalTable(engine)
    return SqlDesk(Snapshots(history, FactStore(engine), folder, signals.arrow, board.sources))


def _exchange(
    ground: Ground, engine: "Engine", directory: "SignalStore", history: "HistoryService"
) -> "tuple[Imports, Exports]":
    """Return what brings files in and writes files out."""
    from lineshaft.rooms.history.exports import Exports
    from lineshaft.rooms.history.imports import Imports
    from lineshaft.rooms.plant.conversion import conversion

    def signals() -> Sequence[Signal]:
        return [listed.signal for listed in directory.list()]

    platform, settings = ground.settings.platform, ground.settings.exchange
    imports = Imports(
        ground.bus, engine, ground.folder / "imports", directory=directory, signals=signals,
        conversion=conversion, prefix=f"{platform.enterprise}/{platform.site}",
        max_bytes=int(settings.import_max_gb * 1e9),
    )  # fmt: skip
    exports = Exports(
        engine, ground.folder / "exports", history, signals, keep_days=settings.export_days
    )
    return imports, exports


def _calculations(
    bus: Bus, engine: "Engine", signals: "SignalStore", history: "HistoryService",
    listeners: list[Callable[[int], None]],
) -> "tuple[Calculations, APIRouter]":  # fmt: skip
    """Return what follows calculated signals, and its doors."""
    from lineshaft.rooms.history.calculation_routes import router
    from lineshaft.rooms.history.calculation_store import CalculationStore
    from lineshaft.rooms.history.calculations import Calculations
    from lineshaft.rooms.plant.measures import measure

    def find(path: str) -> Signal | None:
        found = (listed.signal for listed in signals.list(prefix=path))
        return next((signal for signal in found if signal.path == path), None)

    store = CalculationStore(engine)
    calculations = Calculations(store, history, bus, bus, signals, find, signals.by_sid, measure)
    listeners.append(calculations.heard)
    return calculations, router(calculations)


def _ledger_doors(bus: Bus, engine: "Engine") -> "APIRouter":
    from lineshaft.ledger.log import Ledger
    from lineshaft.ledger.service import EvidenceService
    from lineshaft.web.ledger_routes import ledger_router

    return ledger_router(EvidenceService(Ledger(engine), bus))


def describe_api() -> dict[str, Any]:
    """Return the OpenAPI description: the one from which the console's types and the docs come."""
    from lineshaft.rooms.connect.routes import router as connect_router
    from lineshaft.rooms.decide.routes import router as decide_router
    from lineshaft.rooms.decide.schedule.routes import router as schedule_router
    from lineshaft.rooms.history.calculation_routes import router as calculation_router
    from lineshaft.rooms.history.exchange_routes import router as exchange_router
    from lineshaft.rooms.history.grid_routes import router as grid_router
    from lineshaft.rooms.history.routes import router as history_router
    from lineshaft.rooms.plant.routes import router as plant_router
    from lineshaft.rooms.twins.draft_routes import draft_router
    from lineshaft.rooms.twins.routes import router as twins_router
    from lineshaft.web import system
    from lineshaft.web.desk_routes import desk_router
    from lineshaft.web.doors import build_api
    from lineshaft.web.ledger_routes import ledger_router
    from lineshaft.web.limits import limits_router
    from lineshaft.web.logs import logs_router
    from lineshaft.web.metrics import metrics_router
    from lineshaft.web.sql_routes import router as sql_router

    nobody: Any = None  # a description asks no room anything
    routers = [
        *_people_routers(nobody, nobody, Http()),
        system.system_router(nobody),
        limits_router(nobody),
        system.live_router(nobody),
        system.panel_router(nobody),
        plant_router(nobody),
        desk_router(nobody),
        connect_router(nobody, nobody),
        history_router(nobody, nobody),
        grid_router(nobody, nobody),
        exchange_router(nobody, nobody),
        calculation_router(nobody),
        twins_router(nobody),
        draft_router(nobody),
        decide_router(nobody),
        ledger_router(nobody),
        schedule_router(nobody),
        sql_router(nobody),
        logs_router(nobody),
        metrics_router(nobody, nobody, nobody),
    ]
    return build_api(routers).openapi()


class _Each:
    """Calls all listeners with what one would hear."""

    def __init__(self, listeners: Sequence[Callable[[int], None]]) -> None:
        self._listeners = listeners

    def __call__(self, number: int) -> None:
        for listener in self._listeners:
            listener(number)


class _Panel:
    """The PlantPanel of a plant in another process."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def handle(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = await self._bus.ask("plant", "panel", request)
        return answer


_ENTRIES: dict[str, Callable[[Ground, asyncio.Event], Awaitable[None]]] = {
    "plant": run_plant,
    "connect": run_connect,
    "history": run_history,
    "twins": run_twins,
    "decide": run_decide,
    "web": run_web,
}


def prepare(folder: Path) -> None:
    """Make what a data folder needs before the first process: the tables and our certificate,
    which the demo's plant trusts from the beginning."""
    from lineshaft.clock import now_us
    from lineshaft.keep.upgrade import upgrade
    from lineshaft.private import write_private
    from lineshaft.rooms.connect.protocols.opcua.pki import Pki

    upgrade(folder / "records.sqlite")
    own = Pki(folder, now_us()).own()
    write_private(folder / "plant" / "pki" / "trusted" / "platform.der", own.der)


async def _make_streams(bus: Bus, max_bytes: int) -> None:
    """Make the site's streams, however long the bus takes to come up.

    All processes do so at once, and the server counts a stream that two of them ask for twice until
    it is made: one of them may be told that there is no room.
    """
    end = monotonic_s() + _STREAMS_S
    while True:
        try:
            await bus.ensure_streams(max_bytes)
        except Broken as error:
            if error.code != "bus.away" and monotonic_s() > end:
                raise
            await asyncio.sleep(0.1)
        else:
            return


def _settle() -> None:
    """Begin to collect garbage. What the start made is none and lives as long as the process, so
    it is not walked through; without collections a process comes up a fifth sooner."""
    gc.freeze()
    gc.enable()


async def _run(name: str, folder: Path) -> None:
    stop, supervisor = asyncio.Event(), os.getppid()

    def end() -> None:
        # The kernel ends us in time, whatever we wait for. Where the supervisor was killed the bus
        # goes with it, and there is nothing to wait for.
        signal.alarm(_END_S if os.getppid() == supervisor else _ALONE_S)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    plan = Plan.read(folder)
    user = "plant" if name == "plant" else "platform"
    access = BusAccess.read(folder / "run" / f"bus-{user}.json")
    bus = await Bus.connect(access, plan.settings.platform.site, f"{name}-{uuid.uuid4().hex[:6]}")
    try:
        if user == "platform":
            await _make_streams(bus, int(plan.settings.bus.max_gb * 1e9))
        await _ENTRIES[name](Ground(plan, plan.settings, folder, bus), stop)
    finally:
        await bus.close()


class _WithoutPandas(MetaPathFinder):
    """Arrow loads pandas where it finds it (tep-studio brings it along): a second of start and
    60 MB in every process, for nothing."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one process, or `prepare`: `python -m lineshaft.app NAME DATA_FOLDER`."""
    import uvloop

    sys.meta_path.insert(0, _WithoutPandas())
    name, folder = sys.argv[1:3] if arguments is None else arguments
    if name == "prepare":
        try:
            prepare(Path(folder))
        except LineshaftError as error:
            sys.exit(str(error))
        return
    gc.disable()
    log_as_json(name)
    # The library prints a traceback for every refused request and lost link; we tell these as
    # Facts and source states.
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    start_traces(name)
    try:
        uvloop.run(_run(name, Path(folder)))
    finally:
        stop_traces()


if __name__ == "__main__":
    main()
