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

from lineshaft.core.quality import BAD
from lineshaft.core.samples import Floats, Ints, SampleBlock
from lineshaft.rooms.twins.engine import filters
from lineshaft.rooms.twins.engine.behaviour import Behaviour
from lineshaft.rooms.twins.engine.behaviours.lag import LAG
from lineshaft.rooms.twins.engine.fleet import Array, Estimates, Fleet
from lineshaft.rooms.twins.engine.plant_time import PlantTime
from lineshaft.rooms.twins.engine.scalar import LagFleet
from lineshaft.rooms.twins.engine.setup import setup_of
from lineshaft.rooms.twins.model import Twin

__all__ = ["Columns", "Kind", "Runner", "Runtime", "compiled_kind"]

_STATES_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Columns:
    """Rows of the twins' own signals, each `(n,)`."""

    sid: Ints
    ts: Ints
    v: Floats


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
        self.wire()

    def wire(self, twins: Mapping[str, Twin] | None = None) -> None:
        """Lay the wires anew."""
        kind, wires = self.kind, list[tuple[int, int, int, float, float, int, int]]()
        size = 1 + max(self.rows.values(), default=-1)
        self.emitted = np.append(self.emitted, np.zeros(max(0, size - len(self.emitted)), np.int64))
        self.state_sid = np.zeros((len(self.emitted), len(kind.states)), np.int64)
        for number, row in self.rows.items():
            twin = (twins or {})[number]
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
        wires.sort()
        columns = list(zip(*wires, strict=True)) or [()] * 7
        self.sid, self.row, self.port = (np.array(c, np.int64) for c in columns[:3])
        self.scale, self.offset = (np.array(c, np.float64) for c in columns[3:5])
        self.clock, self.own = (np.array(c, np.int64) for c in columns[5:])


class Runtime:
    """All twins. `kind_of` says how a twin is run; it raises Refused for one that can't be."""

    def __init__(self, kind_of: Callable[[Twin], Kind]) -> None:
        self._kind_of = kind_of
        self._groups: dict[str, _Group] = {}
        self._key: dict[str, str] = {}
        self.twins: dict[str, Twin] = {}
        self._clocks: dict[int, PlantTime] = {}
        self._about: Array | None = None

    def set(self, twins: Iterable[Twin]) -> None:
        """Run these twins and no others; those that run already keep their state, unless they are
        of another kind now."""
        wanted = {twin.id: twin for twin in twins}
        self._about = None
        for number in [n for n in self.twins if n not in wanted]:
            self._drop(number)
        for number, twin in wanted.items():
            if self.twins.get(number) != twin:
                self._take(twin)
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
        else:
            if old is not None:
                self._drop(twin.id)
            group = self._groups.setdefault(kind.key, _Group(kind))
            row = group.runner.add(kind.given)
            group.rows[twin.id] = row
            if row < len(group.emitted):
                group.emitted[row] = 0
        self.twins[twin.id], self._key[twin.id] = twin, kind.key

    def _drop(self, number: str) -> None:
        group = self._groups[self._key.pop(number)]
        group.runner.remove(group.rows.pop(number))
        del self.twins[number]

    def hear(self, block: SampleBlock) -> Columns:
        """Take a block and return the rows it gave, in no order."""
        sid, ts = block.sid, block.ts
        value = block.batch.column(2).to_numpy(zero_copy_only=False)
        value = np.where(block.batch.column(4).to_numpy() >= BAD, np.nan, value)
        for clock, time in self._clocks.items():
            low, high = np.searchsorted(sid, [clock, clock + 1])
            if low < high:
                time.hear(ts[low:high], value[low:high])
        parts = [self._feed(group, sid, ts, value) for group in self._groups.values()]
        columns = [column for part in parts for column in part]
        if not columns:
            nothing = np.zeros(0, np.int64)
            return Columns(nothing, nothing, np.zeros(0))
        return Columns(
            np.concatenate([c.sid for c in columns]),
            np.concatenate([c.ts for c in columns]),
            np.concatenate([c.v for c in columns]),
        )

    def _feed(self, group: _Group, sid: Array, ts: Ints, value: Floats) -> list[Columns]:
        first = np.searchsorted(group.sid, sid)
        count = np.searchsorted(group.sid, sid, "right") - first
        total = int(count.sum())
        if not total:
            return []
        sample = np.repeat(np.arange(len(sid)), count)
        wire = np.repeat(first - np.cumsum(count) + count, count) + np.arange(total)
        stamps, row = ts[sample], group.row[wire]
        scale, offset = group.scale[wire], group.offset[wire]
        found = group.runner.process(
            row, group.port[wire], self._plant_time(stamps, group.clock[wire]),
            value[sample] * scale + offset,
        )  # fmt: skip
        told = found.flag == filters.ESTIMATED
        own = group.own[wire]
        kept = told & (own > 0)
        back = (found.y[kept] - offset[kept]) / scale[kept]
        return [Columns(own[kept], stamps[kept], back),
                self._states(group, row[told], stamps[told])]  # fmt: skip

    def _plant_time(self, stamps: Ints, clock: Array) -> Ints:
        if not self._clocks:
            return stamps
        at = stamps.copy()
        for number, time in self._clocks.items():
            mine = clock == number
            at[mine] = time.of(stamps[mine])
        return at

    def _states(self, group: _Group, row: Array, stamps: Ints) -> Columns:
        """Return the states of the twins that moved, of each once a second at most."""
        latest = np.zeros(len(group.emitted), np.int64)
        np.maximum.at(latest, row, stamps)
        due = np.flatnonzero(latest - group.emitted >= _STATES_US)
        group.emitted[due] = latest[due]
        own = group.state_sid[due]
        there = own > 0
        return Columns(
            own[there],
            np.broadcast_to(latest[due, None], own.shape)[there],
            group.runner.states(due)[there],
        )

    def save(self) -> dict[str, Array]:
        """Return everything that this knows as arrays, to be loaded by `load`."""
        saved: dict[str, Array] = {}
        for key, group in self._groups.items():
            for name, array in group.runner.save().items():
                saved[f"{key}:{name}"] = array
            saved[f"{key}:emitted"] = group.emitted.copy()
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
        """Become what was saved; this has no twins yet. Raises where it can't be read."""
        about = json.loads(saved["about"].tobytes())
        for text, number, revision, learned in about["twins"]:
            parts = {name: bytes.fromhex(part) for name, part in learned.items()}
            twin = Twin.from_json(text, id=number, revision=revision, learned=parts)
            kind = self._kind_of(twin)
            group = self._groups.setdefault(kind.key, _Group(kind))
            group.rows[twin.id] = about["rows"][kind.key][twin.id]
            self.twins[twin.id], self._key[twin.id] = twin, kind.key
        for key, group in self._groups.items():
            mine = {name.removeprefix(f"{key}:"): array for name, array in saved.items()
                    if name.startswith(f"{key}:")}  # fmt: skip
            group.emitted = mine.pop("emitted").copy()
            group.runner.load(mine)
            group.wire(self.twins)
        clocks = json.loads(saved["clocks"].tobytes())
        self._clocks = {int(n): PlantTime(*c) for n, c in clocks.items()}
