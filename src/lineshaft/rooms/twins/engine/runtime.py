"""Runtime: all twins of a site as fleets; blocks of samples in, estimates and scores out.

Rules: the same blocks in the same order give the same results, bit by bit, from the same saved
state. A sample reaches a twin through its wires: one sid may feed many ports. What the fleets know
is saved as arrays; what the twins are is saved with it.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from lineshaft.core.errors import LineshaftError, Refused
from lineshaft.core.quality import BAD
from lineshaft.core.samples import Floats, Ints, SampleBlock
from lineshaft.rooms.twins.engine import filters
from lineshaft.rooms.twins.engine.behaviour import Behaviour
from lineshaft.rooms.twins.engine.behaviours.lag import LAG
from lineshaft.rooms.twins.engine.drift import Healthy
from lineshaft.rooms.twins.engine.fleet import Array, Estimates, Fleet
from lineshaft.rooms.twins.engine.kept import from_bytes
from lineshaft.rooms.twins.engine.plant_time import PlantTime
from lineshaft.rooms.twins.engine.scalar import LagFleet
from lineshaft.rooms.twins.engine.scores import Scores
from lineshaft.rooms.twins.engine.setup import setup_of
from lineshaft.rooms.twins.engine.watch import Watch
from lineshaft.rooms.twins.model import SCORE, Twin

__all__ = ["Columns", "Kind", "Runner", "Runtime", "Told", "compiled_kind"]

_STATES_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows of the twins' own signals, each `(n,)`."""

    sid: Ints
    ts: Ints
    v: Floats


@dataclass(frozen=True, slots=True)
class Told:
    """Something that a block showed: a Fact's kind, the twin, its stamp (wall µs), its body."""

    kind: str
    twin: str
    at: int
    body: Mapping[str, Any]


class Runner(Protocol):
    """What steps the twins of one kind: a Fleet, or anything that behaves like one."""

    def add(self, given: Any) -> int:
        """Take a twin in and return its row."""
        ...

    def change(self, row: int, given: Any) -> None:
        """Give a twin other figures; its state stays."""
        ...

    def remove(self, row: int) -> None:
        """Forget a twin."""
        ...

    def process(self, twin: Array, port: Array, at: Array, value: Array) -> Estimates:
        """Take events, as `Fleet.process` does."""
        ...

    def states(self, rows: Array) -> Array:
        """Return the states `(len(rows), n_states)` of these rows."""
        ...

    def save(self) -> dict[str, Array]:
        """Return copies of everything that this knows."""
        ...

    def load(self, saved: Mapping[str, Array]) -> None:
        """Become what was saved."""
        ...


@dataclass(frozen=True, slots=True)
class Kind:
    """How a twin is run: twins with one `key` share a runner, which `open` makes; `given` is what
    the runner is given of a twin; names of ports and states in the runner's order."""

    key: str
    open: Callable[[], Runner]
    given: Any
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    states: tuple[str, ...]


def compiled_kind(twin: Twin, behaviour: Behaviour) -> Kind:
    """Return how a twin of a compiled behaviour is run."""
    setup, key = setup_of(twin, behaviour), f"{behaviour.name}/{twin.method}"
    is_scalar = behaviour is LAG and twin.method != "open" and setup.parameters[3] == 0.0
    return Kind(
        f"{key}/scalar" if is_scalar else key,
        lambda: LagFleet(twin.method) if is_scalar else Fleet(behaviour, twin.method),
        setup,
        tuple(port.name for port in behaviour.inputs),
        tuple(port.name for port in behaviour.outputs),
        tuple(state.name for state in behaviour.states),
    )


class _Group:
    """The twins of one runner with their wires, sorted by sid."""

    def __init__(self, kind: Kind) -> None:
        self.kind, self.runner = kind, kind.open()
        self.rows: dict[str, int] = {}
        self.emitted = np.zeros(0, np.int64)
        self.state_sid = np.zeros((0, len(kind.states)), np.int64)
        self.score_sid = np.zeros(0, np.int64)
        self.scores = Scores(len(kind.outputs))
        self.watches: dict[str, Watch] = {}
        self._learned: dict[str, tuple[Twin, Healthy | None]] = {}
        self.names: dict[int, str] = {}
        self.failed = ""
        self.wire()

    def wire(self, twins: Mapping[str, Twin] | None = None) -> None:
        """Lay the wires anew."""
        kind, wires = self.kind, list[tuple[int, int, int, float, float, int, int]]()
        size = 1 + max(self.rows.values(), default=-1)
        self.emitted = np.append(self.emitted, np.zeros(max(0, size - len(self.emitted)), np.int64))
        self.state_sid = np.zeros((len(self.emitted), len(kind.states)), np.int64)
        self.score_sid = np.zeros(len(self.emitted), np.int64)
        self.names = {row: number for number, row in self.rows.items()}
        for number, row in self.rows.items():
            twin = (twins or {})[number]
            self.score_sid[row] = twin.estimates.get(SCORE, 0)
            self._learn(twin)
            for port, name in enumerate((*kind.inputs, *kind.outputs)):
                is_output = port >= len(kind.inputs)
                bound = (twin.outputs if is_output else twin.inputs).get(name)
                if bound is not None:
                    own = twin.estimates.get(name, 0) if is_output else 0
                    wires.append((bound.sid, row, port, bound.scale, bound.offset,
                                  twin.clock or 0, own))  # fmt: skip
            for index, name in enumerate(kind.states):
                if name not in kind.outputs:
                    self.state_sid[row, index] = twin.estimates.get(name, 0)
        for gone in self._learned.keys() - self.rows.keys():
            del self._learned[gone]
            self.watches.pop(gone, None)
        taught = {self.rows[n]: known for n, (_, known) in self._learned.items() if known}
        self.scores.set(len(self.emitted), taught)
        wires.sort()
        columns = list(zip(*wires, strict=True)) or [()] * 7
        self.sid, self.row, self.port = (np.array(c, np.int64) for c in columns[:3])
        self.scale, self.offset = (np.array(c, np.float64) for c in columns[3:5])
        self.clock, self.own = (np.array(c, np.int64) for c in columns[5:])

    def load(self, saved: Mapping[str, Array], key: str, twins: Mapping[str, Twin]) -> None:
        """Become what was saved under a key; raises KeyError or ValueError where that does not
        fit."""
        self.emitted = saved[f"{key}:emitted"].copy()
        self.wire(twins)
        self.runner.load(_below(saved, f"{key}:"))
        self.scores.load(_below(saved, f"{key}:score:"))
        for number, watch in self.watches.items():
            watch.load(_below(saved, f"{key}:watch:{number}:"))

    def _learn(self, twin: Twin) -> None:
        """Read what a twin was taught, where that is something new."""
        before = self._learned.get(twin.id)
        if before is None or before[0].healthy != twin.healthy:
            healthy = from_bytes(Healthy, twin.healthy) if twin.healthy else None
        else:
            healthy = before[1]
        if not twin.monitor:
            self.watches.pop(twin.id, None)
        elif before is None or before[0].monitor != twin.monitor:
            self.watches[twin.id] = Watch.of(twin.monitor)
        self._learned[twin.id] = (twin, healthy)


class Runtime:
    """All twins. `kind_of` says how a twin is run; it raises Refused for one that can't be."""

    def __init__(self, kind_of: Callable[[Twin], Kind]) -> None:
        self._kind_of = kind_of
        self._groups: dict[str, _Group] = {}
        self._key: dict[str, str] = {}
        self.twins: dict[str, Twin] = {}
        self._clocks: dict[int, PlantTime] = {}
        self._about: Array | None = None
        #: Twins that cannot be run, and why.
        self.refused: dict[str, str] = {}
        #: What of a snapshot could not be used, and why.
        self.lost: list[str] = []

    def set(self, twins: Iterable[Twin]) -> None:
        """Run these twins and no others; those that run already keep their state, unless they are
        of another kind now."""
        wanted = {twin.id: twin for twin in twins}
        self._about = None
        self.refused = {}
        for number in [n for n in self.twins if n not in wanted]:
            self._drop(number)
        for number, twin in wanted.items():
            if self.twins.get(number) != twin:
                try:
                    self._take(twin)
                except Refused as error:
                    self.refused[number] = str(error)
        for clock in {twin.clock for twin in wanted.values() if twin.clock} - set(self._clocks):
            self._clocks[clock] = PlantTime()
        for group in self._groups.values():
            group.wire(self.twins)

    def _take(self, twin: Twin) -> None:
        kind = self._kind_of(twin)
        old = self._key.get(twin.id)
        if old == kind.key:
            group = self._groups[old]
            group.runner.change(group.rows[twin.id], kind.given)
            group.failed = ""
        else:
            if old is not None:
                self._drop(twin.id)
            group = self._group(kind)
            row = group.runner.add(kind.given)
            group.rows[twin.id] = row
            if row < len(group.emitted):
                group.emitted[row] = 0
        self.twins[twin.id], self._key[twin.id] = twin, kind.key

    def _group(self, kind: Kind) -> _Group:
        """Return the group of a kind, made with its first twin."""
        if kind.key not in self._groups:
            self._groups[kind.key] = _Group(kind)
        return self._groups[kind.key]

    def _drop(self, number: str) -> None:
        group = self._groups[self._key.pop(number)]
        group.runner.remove(group.rows.pop(number))
        del self.twins[number]

    def hear(self, block: SampleBlock) -> tuple[Columns, list[Told]]:
        """Take a block; return the rows it gave, in no order, and what it showed."""
        told: list[Told] = []
        sid, ts = block.sid, block.ts
        value = block.batch.column(2).to_numpy(zero_copy_only=False)
        value = np.where(block.batch.column(4).to_numpy() >= BAD, np.nan, value)
        for clock, time in self._clocks.items():
            low, high = np.searchsorted(sid, [clock, clock + 1])
            if low < high:
                time.hear(ts[low:high], value[low:high])
        parts = [
            self._feed(group, sid, ts, value, told)
            for group in self._groups.values()
            if not group.failed
        ]
        columns = [column for part in parts for column in part]
        if not columns:
            nothing = np.zeros(0, np.int64)
            return Columns(nothing, nothing, np.zeros(0)), told
        whole = Columns(
            np.concatenate([c.sid for c in columns]),
            np.concatenate([c.ts for c in columns]),
            np.concatenate([c.v for c in columns]),
        )
        return whole, told

    def _feed(
        self, group: _Group, sid: Array, ts: Ints, value: Floats, told: list[Told]
    ) -> list[Columns]:  # fmt: skip
        first = np.searchsorted(group.sid, sid)
        count = np.searchsorted(group.sid, sid, "right") - first
        total = int(count.sum())
        if not total:
            return []
        sample = np.repeat(np.arange(len(sid)), count)
        wire = np.repeat(first - np.cumsum(count) + count, count) + np.arange(total)
        stamps, row, port = ts[sample], group.row[wire], group.port[wire]
        scale, offset = group.scale[wire], group.offset[wire]
        at, given = self._plant_time(stamps, group.clock[wire]), value[sample] * scale + offset
        try:
            found = group.runner.process(row, port, at, given)
        except LineshaftError as error:  # a stranger's code; all other twins go on
            group.failed = str(error)
            for one in group.rows.values():
                told.append(self._told(group, one, "twin.failed", int(stamps.max()),
                                       message=group.failed))  # fmt: skip
            return []
        estimated = found.flag == filters.ESTIMATED
        own = group.own[wire]
        kept = estimated & (own > 0)
        back = (found.y[kept] - offset[kept]) / scale[kept]
        rows = row[estimated]
        output = port[estimated] - len(group.kind.inputs)
        turned = group.scores.hear(rows, output, found.z[estimated], at[estimated])
        for event, one, drifted in turned:
            told.append(self._told(group, one, "twin.drifted" if drifted else "twin.recovered",
                                   int(stamps[estimated][event]),
                                   output=group.kind.outputs[int(output[event])]))  # fmt: skip
        for number, watch in group.watches.items():
            mine = row == group.rows[number]
            verdict = watch.hear(port[mine], at[mine], given[mine])
            if verdict is not None:
                kind = "process.abnormal" if verdict[0] else "process.normal"
                shown = [[name, round(share, 4)] for name, share in verdict[1][:10]]
                told.append(self._told(group, group.rows[number], kind,
                                       int(stamps[mine].max()), signals=shown))  # fmt: skip
        return [Columns(own[kept], stamps[kept], back),
                *self._states(group, rows, stamps[estimated])]  # fmt: skip

    def _told(self, group: _Group, row: int, kind: str, at: int, **body: Any) -> Told:
        twin = self.twins[group.names[row]]
        return Told(kind, twin.id, at, {"twin": twin.id, "name": twin.name, **body})

    def _plant_time(self, stamps: Ints, clock: Array) -> Ints:
        if not self._clocks:
            return stamps
        at = stamps.copy()
        for number, time in self._clocks.items():
            mine = clock == number
            at[mine] = time.of(stamps[mine])
        return at

    def _states(self, group: _Group, row: Array, stamps: Ints) -> list[Columns]:
        """Return states and scores of the twins that moved, of each once a second at most."""
        latest = np.zeros(len(group.emitted), np.int64)
        np.maximum.at(latest, row, stamps)
        due = np.flatnonzero(latest - group.emitted >= _STATES_US)
        group.emitted[due] = latest[due]
        own = group.state_sid[due]
        there = own > 0
        when = np.broadcast_to(latest[due, None], own.shape)
        score, of = group.scores.of(due), group.score_sid[due]
        scored = np.isfinite(score) & (of > 0)
        return [
            Columns(own[there], when[there], group.runner.states(due)[there]),
            Columns(of[scored], latest[due][scored], score[scored]),
        ]

    def save(self) -> dict[str, Array]:
        """Return everything that this knows as arrays, to be loaded by `load`."""
        saved: dict[str, Array] = {}
        for key, group in self._groups.items():
            for name, array in group.runner.save().items():
                saved[f"{key}:{name}"] = array
            saved[f"{key}:emitted"] = group.emitted.copy()
            for name, array in group.scores.save().items():
                saved[f"{key}:score:{name}"] = array
            for number, watch in group.watches.items():
                for name, array in watch.save().items():
                    saved[f"{key}:watch:{number}:{name}"] = array
        clocks = {str(n): [c.wall, c.plant, c.speed] for n, c in self._clocks.items()}
        saved["clocks"] = np.frombuffer(json.dumps(clocks).encode(), np.uint8)
        if self._about is None:  # many twins are a long text, and it seldom changes
            about = {
                "twins": [[t.to_json(), t.id, t.revision,
                           {name: part.hex() for name, part in t.learned().items()}]
                          for t in self.twins.values()],
                "rows": {key: group.rows for key, group in self._groups.items()},
            }  # fmt: skip
            self._about = np.frombuffer(json.dumps(about).encode(), np.uint8)
        saved["about"] = self._about
        return saved

    def load(self, saved: Mapping[str, Array]) -> None:
        """Become what was saved; this has no twins yet. Raises where it can't be read. Twins that
        cannot be run any more, or whose behaviour has other states now, are left out (`lost` says
        why): `set` takes the latter anew."""
        about = json.loads(saved["about"].tobytes())
        for text, number, revision, learned in about["twins"]:
            parts = {name: bytes.fromhex(part) for name, part in learned.items()}
            twin = Twin.from_json(text, id=number, revision=revision, learned=parts)
            try:
                kind = self._kind_of(twin)
            except Refused as error:
                self.lost.append(str(error))
                continue
            group = self._group(kind)
            group.rows[twin.id] = about["rows"][kind.key][twin.id]
            self.twins[twin.id], self._key[twin.id] = twin, kind.key
        for key, group in list(self._groups.items()):
            try:
                group.load(saved, key, self.twins)
            except (ValueError, KeyError) as error:
                self.lost.append(f"{len(group.rows)} twins of '{key}' begin anew: {error}")
                for number in group.rows:
                    del self.twins[number], self._key[number]
                del self._groups[key]
        clocks = json.loads(saved["clocks"].tobytes())
        self._clocks = {int(n): PlantTime(*c) for n, c in clocks.items()}


def _below(saved: Mapping[str, Array], prefix: str) -> dict[str, Array]:
    """Return what was saved under a prefix, by the rest of its name."""
    return {n.removeprefix(prefix): array for n, array in saved.items() if n.startswith(prefix)}
