"""The room's hands: twins defined, fitted, taught and asked.

Rules: a twin's own signals are registered with it; a change takes effect in the running twin at
once and keeps its state where the kind of machine stays. Whatever takes long goes to the worker.
A question about a past moment begins with the states that history held then.
"""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from lineshaft.bus import Bus
from lineshaft.clock import now_us
from lineshaft.core.errors import Broken, Refused
from lineshaft.core.facts import Fact
from lineshaft.core.paths import check_path, slug
from lineshaft.core.ports import SampleReader, SignalDirectory
from lineshaft.core.signals import Kind, Signal
from lineshaft.rooms.twins.engine.behaviour import Behaviour
from lineshaft.rooms.twins.engine.series import Series, aligned
from lineshaft.rooms.twins.engine.setup import setup_of
from lineshaft.rooms.twins.engine.state_space import model_of
from lineshaft.rooms.twins.fmi.shelf import PREFIX, FmuShelf, ports_of
from lineshaft.rooms.twins.model import IDENTIFIED, SCORE, SOURCE, Asked, Binding, Future, Twin
from lineshaft.rooms.twins.plugins import behaviours
from lineshaft.rooms.twins.store import TwinStore
from lineshaft.rooms.twins.work import LONGEST_S, Worker

__all__ = ["Question", "TwinService", "TwinState"]

_MOST_ROWS: Final = 3_000_000
_FITTED, _LEARNED = 6000, 200_000  # rows; what is surprising depends on how often it is looked at
_IDENTIFIED: Final = 60_000  # rows
_STEPS_BACK: Final = 300  # of a model, from which its state is found
_SILENT_US: Final = 60_000_000
_LONGEST_S: Final = 90.0
_FORETOLD_STEPS: Final = 120


@dataclass(frozen=True, slots=True)
class TwinState:
    """A twin and how it is doing: `score` −log10 of how rarely a healthy machine is that far from
    its twin (None where it has not learned), `at` (µs) its newest estimate."""

    twin: Twin
    state: str
    score: float | None
    at: int | None


@dataclass(frozen=True, slots=True)
class Question:
    """What would happen to these twins from `at` (µs; None: now) on, `horizon_s` of plant time
    ahead, under each of the futures."""

    twins: Sequence[str]
    futures: Sequence[Future]
    horizon_s: float
    step_s: float | None = None
    at: int | None = None
    count: int = 100
    seed: int = 1
    share: float = 0.9


@dataclass(frozen=True, slots=True)
class _Shape:
    """Units by name of inputs, outputs and states; an empty one stands for the signal's own."""

    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    states: Mapping[str, str]


class TwinService:
    """All that the doors ask of twins. `conversion(unit, unit)` gives the straight line between
    two units, or raises Refused."""

    def __init__(
        self, store: TwinStore, bus: Bus, directory: SignalDirectory, history: SampleReader,
        signals: Callable[[Sequence[int]], Mapping[int, Signal]],
        conversion: Callable[[str, str], tuple[float, float]], fmus: FmuShelf,
    ) -> None:  # fmt: skip
        self.fmus = fmus
        self._store, self._bus, self._directory, self._history = store, bus, directory, history
        self._signals, self._conversion = signals, conversion
        self._worker = Worker()
        self._write = asyncio.Lock()

    @property
    def worker(self) -> Worker:
        """What carries out whatever takes long."""
        return self._worker

    def close(self) -> None:
        """End the worker."""
        self._worker.close()

    @staticmethod
    async def behaviours() -> Mapping[str, Behaviour]:
        """Return every behaviour by name; the first call loads them."""
        return await asyncio.to_thread(behaviours)

    async def all(self) -> list[TwinState]:
        """Return all twins and how they are doing."""
        twins = await asyncio.to_thread(self._store.all)
        return await self._states(twins)

    async def get(self, number: str) -> TwinState:
        """Return one; Refused (404) where there is none."""
        return (await self._states([await asyncio.to_thread(self._store.get, number)]))[0]

    async def _states(self, twins: Sequence[Twin]) -> list[TwinState]:
        sids = sorted({sid for twin in twins for sid in twin.estimates.values()})
        rows = await self._history.last(sids)
        newest = dict(zip(rows.sid.tolist(), zip(rows.ts.tolist(), rows.v.tolist(), strict=True),
                          strict=True))  # fmt: skip
        return [_state(twin, newest) for twin in twins]

    async def add(self, draft: Twin) -> TwinState:
        """Make a twin of a draft (without id) and run it."""
        async with self._write:
            made = await self._registered(replace(draft, id=uuid.uuid4().hex[:16], revision=1))
            await asyncio.to_thread(self._store.add, [made])
            await self._tell(made, "added")
        return (await self._states([made]))[0]

    async def change(self, wanted: Twin) -> TwinState:
        """Give a twin other figures; `revision` is the one that was looked at."""
        async with self._write:
            old = await asyncio.to_thread(self._store.get, wanted.id)
            learned: dict[str, Any] = old.learned()
            same = (old.behaviour, old.method, old.parameters, old.outputs, old.inputs) == (
                wanted.behaviour, wanted.method, wanted.parameters, wanted.outputs, wanted.inputs
            )  # fmt: skip
            if not same:
                learned["healthy"] = b""  # what other figures find surprising is another thing
            if _wires(old) != _wires(wanted):
                learned["model"] = b""
            await self._keep(replace(wanted, **learned), wanted.revision)
        return await self.get(wanted.id)

    async def _keep(self, wanted: Twin, before: int) -> None:
        made = await self._registered(replace(wanted, revision=before + 1))
        await asyncio.to_thread(self._store.change, made, before)
        await self._tell(made, "changed")

    async def remove(self, number: str) -> None:
        """Forget a twin; its signals and their samples stay."""
        async with self._write:
            old = await asyncio.to_thread(self._store.get, number)
            await asyncio.to_thread(self._store.remove, number)
            await self._tell(old, "removed")

    async def _tell(self, twin: Twin, what: str) -> None:
        body = {"id": twin.id, "name": twin.name, "what": what, "revision": twin.revision}
        await self._bus.tell(Fact("twin.changed", now_us(), twin.machine, body))
        try:
            await self._bus.ask("twins", "changed", {}, 2)
        except Broken:  # it reads the list when it comes up
            return

    async def _registered(self, draft: Twin) -> Twin:
        """Check a draft and give it the signals that it will feed."""
        shape = await self._shape(draft)
        base = check_path(f"{draft.machine}/{slug(draft.name)}/{SCORE}").removesuffix(f"/{SCORE}")
        known = await asyncio.to_thread(self._bound_signals, draft)
        bound = replace(
            draft,
            inputs=self._lines(shape.inputs, draft.inputs, known, "input"),
            outputs=self._lines(shape.outputs, draft.outputs, known, "output"),
        )
        units = {name: known[one.sid].unit for name, one in bound.outputs.items()}
        wanted = [(name, units[name]) for name in shape.outputs if name in units]
        wanted += [(name, unit) for name, unit in shape.states.items() if name not in units]
        drafts = [
            Signal(0, f"{base}/{slug(name)}", f"{draft.name}: {name}", Kind.FLOAT, unit,
                   source=SOURCE)
            for name, unit in [*wanted, (SCORE, "1")]
        ]  # fmt: skip
        made = await asyncio.to_thread(self._directory.register, drafts)
        names = [name for name, _ in wanted] + [SCORE]
        return bound.with_estimates({n: s.sid for n, s in zip(names, made, strict=True)})

    async def _shape(self, twin: Twin) -> "_Shape":
        """Return the ports and states of a twin's kind; Refused where its figures do not fit it."""
        if twin.behaviour.startswith(PREFIX):
            path = await asyncio.to_thread(self.fmus.path, twin.behaviour)
            inputs, outputs = await asyncio.to_thread(ports_of, path)
            return _Shape(dict.fromkeys(inputs, ""), dict.fromkeys(outputs, ""), {})
        if twin.behaviour == IDENTIFIED:
            return _own_shape(twin)
        behaviour = (await self.behaviours()).get(twin.behaviour)
        if behaviour is None:
            raise Refused(f"there is no behaviour '{twin.behaviour}'", code="twin.behaviour",
                          hint="See GET /twins/behaviours")  # fmt: skip
        behaviour.checked(setup_of(twin, behaviour).parameters)
        return _Shape(*({one.name: one.unit for one in some} for some in (
            behaviour.inputs, behaviour.outputs, behaviour.states
        )))  # fmt: skip

    def _bound_signals(self, draft: Twin) -> Mapping[int, Signal]:
        sids = {one.sid for one in (*draft.inputs.values(), *draft.outputs.values())}
        sids |= {draft.clock} if draft.clock else set()
        known = self._signals(sorted(sids))
        for sid in sorted(sids - set(known)):
            raise Refused(f"there is no signal {sid}", code="signal.unknown",
                          hint="See GET /signals")  # fmt: skip
        return known

    def _lines(
        self, units: Mapping[str, str], bound: Mapping[str, Binding], known: Mapping[int, Signal],
        what: str,
    ) -> dict[str, Binding]:  # fmt: skip
        """Return the bindings with the line from each signal's unit to its port's."""
        lines = dict[str, Binding]()
        for name, one in bound.items():
            if name not in units:
                raise Refused(f"the behaviour has no {what} '{name}'", code="twin.ports",
                              hint=f"It has {', '.join(units) or 'none'}")  # fmt: skip
            signal = known[one.sid]
            if signal.kind is Kind.STRING:
                raise Refused(f"'{signal.path}' is text and cannot move a machine",
                              code="twin.ports", hint="Bind a signal of numbers")  # fmt: skip
            scale, offset = (1.0, 0.0)
            if units[name]:
                scale, offset = self._conversion(signal.unit, units[name])
            lines[name] = Binding(one.sid, scale, offset)
        return lines

    async def _series(self, twin: Twin, start: int, end: int, most: int = _FITTED) -> Series:
        shape = await self._shape(twin)
        ports = [*((name, twin.inputs) for name in shape.inputs),
                 *((name, twin.outputs) for name in shape.outputs)]  # fmt: skip
        sids = [bound[name].sid if name in bound else 0 for name, bound in ports]
        wanted = {*sids, twin.clock or 0} - {0}
        rows = await self._history.raw(sorted(wanted), start, end, _MOST_ROWS)
        # What moves the machine, and its clock, may have stood still since before.
        moving = {*(one.sid for one in twin.inputs.values()), twin.clock or 0} - {0}
        held = await self._history.held(sorted(moving), start)
        sid, v, q = (
            np.concatenate([held[name].to_numpy(), column])
            for name, column in (("sid", rows.sid), ("v", rows.v), ("q", rows.q))
        )
        ts = np.concatenate([np.full(held.num_rows, start), rows.ts])
        return await asyncio.to_thread(aligned, sid, ts, v, q, sids, clock=twin.clock, most=most)

    async def fit(
        self, number: str, start: int, end: int, free: Sequence[str] | None,
        within_s: float = LONGEST_S,
    ) -> tuple[Twin, Mapping[str, Any]]:  # fmt: skip
        """Return a twin with figures fitted to a period, and how well they fit; nothing is
        kept."""
        twin = await asyncio.to_thread(self._store.get, number)
        series = await self._series(twin, start, end)
        fitted, quality = await self._worker.run("fit_twin", twin, series, free, within_s=within_s)
        return fitted, quality

    async def identify(
        self, number: str, start: int, end: int, sample_s: float | None, horizon_s: float | None
    ) -> tuple[Twin, Mapping[str, Any]]:
        """Return a twin with a model of a period, and how good that is; nothing is kept."""
        twin = await asyncio.to_thread(self._store.get, number)
        if twin.behaviour != IDENTIFIED:
            raise Refused(f"'{twin.name}' behaves like '{twin.behaviour}'", code="twin.behaviour",
                          hint=f"Only the behaviour '{IDENTIFIED}' is identified")  # fmt: skip
        series = await self._series(twin, start, end, _IDENTIFIED)
        learned, quality = await self._worker.run(
            "identify_twin", twin, series, sample_s, horizon_s
        )
        return learned, quality

    async def take(self, number: str, fitted: Twin, revision: int) -> TwinState:
        """Keep what was found of a fit or an identification."""
        async with self._write:
            await self._keep(replace(fitted, id=number), revision)
        return await self.get(number)

    async def learn(
        self, number: str, start: int, end: int, within_s: float = LONGEST_S
    ) -> TwinState:
        """Teach a twin how it looks when all is well, from a good period."""
        twin = await asyncio.to_thread(self._store.get, number)
        series = await self._series(twin, start, end)
        taught = await self._worker.run("learn_twin", twin, series, self.fmus, within_s=within_s)
        async with self._write:
            await self._keep(taught, twin.revision)
        return await self.get(number)

    async def forget(self, number: str) -> TwinState:
        """Have a twin forget how it looks when all is well; its figures stay."""
        twin = await asyncio.to_thread(self._store.get, number)
        async with self._write:
            await self._keep(replace(twin, healthy=b"", monitor=b""), twin.revision)
        return await self.get(number)

    async def states_at(self, number: str, at: int | None) -> Mapping[str, float | None]:
        """Return the states and outputs that were believed at a moment (now where None)."""
        twin = await asyncio.to_thread(self._store.get, number)
        held = await self._held(sorted(twin.estimates.values()), at)
        return {name: held.get(sid) for name, sid in twin.estimates.items()}

    async def _held(self, sids: list[int], at: int | None) -> Mapping[int, float]:
        if at is None:
            rows = await self._history.last(sids)
            return dict(zip(rows.sid.tolist(), rows.v.tolist(), strict=True))
        table = await self._history.held(sids, at)
        values = zip(table["sid"].to_pylist(), table["v"].to_pylist(), strict=True)
        return {sid: value for sid, value in values if value is not None}

    async def whatif(self, question: Question) -> Mapping[str, Any]:
        """Return the futures of some twins; see `jobs.run_whatif`."""
        if not 0 < question.horizon_s < 1e8 or not question.twins:
            raise Refused("a question needs twins and a horizon", code="twin.whatif",
                          hint="Name a twin, and how many seconds ahead to look")  # fmt: skip
        twins = [await asyncio.to_thread(self._store.get, number) for number in question.twins]
        asked = [await self._asked(twin, question.at) for twin in twins]
        step_s = question.step_s or question.horizon_s / 500
        found = await self._worker.run(
            "run_whatif", asked, list(question.futures), question.horizon_s, step_s, question.count,
            question.seed, question.share, within_s=_LONGEST_S,
        )  # fmt: skip
        return {**found, "at": question.at or now_us()}

    async def foretell(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """Answer `{twins, moves: [[sid, value], …], hours}` with `{bands: [[sid, low, high], …]}`:
        within what each output stays for so long (plant time) when these inputs have these values
        from now on. Inputs that no twin has are left out; Refused where none is left."""
        twins = [await asyncio.to_thread(self._store.get, str(one)) for one in body["twins"]]
        moving = {bound.sid for twin in twins for bound in twin.inputs.values()}
        changes = tuple((int(sid), 0.0, float(value), 0.0) for sid, value in body["moves"]
                        if int(sid) in moving)  # fmt: skip
        if not changes:
            raise Refused("these moves move none of these twins", code="twin.whatif",
                          hint="Ask twins that have the moved signals as inputs")  # fmt: skip
        hours = float(body["hours"])
        found = await self.whatif(
            Question(tuple(body["twins"]), [Future("", changes)], hours * 3600.0,
                     step_s=hours * 3600.0 / _FORETOLD_STEPS)
        )  # fmt: skip
        bands = dict[int, tuple[float, float]]()
        for one in found["futures"][0]["outputs"]:
            low, high = bands.get(one["sid"], (np.inf, -np.inf))
            bands[one["sid"]] = (
                float(np.minimum(low, np.min(one["low"]))),
                float(np.maximum(high, np.max(one["high"]))),
            )  # fmt: skip
        return {"bands": [[sid, *band] for sid, band in bands.items()]}

    async def _asked(self, twin: Twin, at: int | None) -> Asked:
        if twin.behaviour == IDENTIFIED:
            return await self._asked_of_model(twin, at or now_us())
        behaviour = (await self.behaviours()).get(twin.behaviour)
        if behaviour is None:
            raise Refused(f"nobody can say what '{twin.name}' would do", code="twin.behaviour",
                          hint="Ask twins of the library, or identified ones")  # fmt: skip
        sids = {one.sid for one in twin.inputs.values()}
        held = await self._held(sorted({*sids, *twin.estimates.values()}), at)
        setup = setup_of(twin, behaviour)
        own = [twin.estimates.get(state.name, 0) for state in behaviour.states]
        x = np.array([held.get(sid, np.nan) for sid in own])
        for index, state in enumerate(behaviour.states):
            bound = twin.outputs.get(state.name)
            if bound is not None:  # its estimate is shown in the signal's unit
                x[index] = x[index] * bound.scale + bound.offset
        x = np.where(np.isfinite(x), x, setup.start)
        # What a filter is left unsure of is close to what its sensors and its walk allow.
        spread = np.minimum(setup.spread, 60.0 * setup.walk + 1e-12)
        for index, state in enumerate(behaviour.states):
            outputs = [port.name for port in behaviour.outputs]
            if state.name in outputs:
                spread[index] = min(spread[index], setup.noise[outputs.index(state.name)])
        inputs = np.array([held.get(twin.inputs[port.name].sid, np.nan)
                           if port.name in twin.inputs else np.nan
                           for port in behaviour.inputs])  # fmt: skip
        return Asked(twin, x, np.diag(spread**2), inputs)

    async def _asked_of_model(self, twin: Twin, at: int) -> Asked:
        """Return an identified twin as the samples before a moment show it."""
        step_us = int(model_of(twin).sample_us)
        speed = (await self._held([twin.clock], at)).get(twin.clock) if twin.clock else 1.0
        back = round(_STEPS_BACK * step_us / (speed if speed and speed > 0 else 1.0))
        series = None
        with suppress(Refused):  # nothing was heard
            series = await self._series(twin, max(at - back, 0), at, _FITTED)
        asked: Asked = await self._worker.run("asked_of", twin, series)
        return asked


def _wires(twin: Twin) -> list[tuple[str, int]]:
    return sorted((name, one.sid) for some in (twin.inputs, twin.outputs)
                  for name, one in some.items())  # fmt: skip


def _own_shape(twin: Twin) -> _Shape:
    """Return the shape of an identified twin, whose ports are what it says they are."""
    states = model_of(twin).states if twin.model else ()
    names = [slug(name) for name in (*twin.outputs, *states, SCORE)]
    if len(set(names)) < len(names):
        raise Refused("two of its signals would have one name", code="twin.ports",
                      hint=f"Name outputs differently, and none x1, x2, … or {SCORE}")  # fmt: skip
    return _Shape(dict.fromkeys(sorted(twin.inputs), ""), dict.fromkeys(sorted(twin.outputs), ""),
                  dict.fromkeys(states, "1"))  # fmt: skip


def _state(twin: Twin, newest: Mapping[int, tuple[int, float]]) -> TwinState:
    stamps = [newest[sid][0] for sid in twin.estimates.values() if sid in newest]
    at = max(stamps, default=None)
    score = newest.get(twin.estimates.get(SCORE, 0), (0, None))[1] if twin.healthy else None
    if not twin.enabled:
        state = "disabled"
    elif at is None or now_us() - at > _SILENT_US:
        state = "waiting"
    else:
        state = "running" if twin.healthy else "untaught"
    return TwinState(twin, state, score, at)
