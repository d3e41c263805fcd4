"""Look: what a machine's signals and a window of their samples propose, before anything is fitted.

Rules: signals that say the same, that only count, or that tell of money are left out. Behaviours
with physics are looked for in each machine by itself and in all that was asked for as one; beside
them stands, for what moves, a plain lag behind the signal that tells most of it. Only the
likeliest few are worth a fit. The table that goes with a candidate has the scale of time at which
its inputs tell most.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from lineshaft.core.errors import Refused
from lineshaft.core.signals import Kind, Signal
from lineshaft.rooms.twins.engine.behaviour import Behaviour
from lineshaft.rooms.twins.engine.draft.causes import filled, gains, moving, same
from lineshaft.rooms.twins.engine.draft.ports import Bound, Lines, Scene, Way, said_of, ways
from lineshaft.rooms.twins.engine.draft.ranges import Guess, Range, range_of, unit_of
from lineshaft.rooms.twins.engine.draft.starts import starts_of
from lineshaft.rooms.twins.engine.draft.tables import Rows, Table, clock_of, drawn_of, tables
from lineshaft.rooms.twins.engine.draft.words import CLASSES, class_of

__all__ = ["PROCESS", "Candidate", "Look", "look"]

Floats = NDArray[np.float64]

PROCESS: Final = "process"  # the class of a machine that nothing says more of
_LAG: Final = "lag"
_MOST, _MOST_LAGS = 8, 4
_MORE, _MOST_OF_ALL = 2, 24  # candidates for each further machine, and altogether
_POOR: Final = 0.6  # of the prior of the likeliest that shows the same: not worth a fit
_MOST_RESPONSES, _MOST_DRIVERS, _MOST_WHOLE = 30, 45, 40
_TELLS: Final = 0.03  # the least that a driver must tell
_DRIVES: Final = frozenset({"command", "opening", "power", "inlet", "inflow", "torque", "running"})
_INDIRECT, _ELSEWHERE = 0.7, 0.85
_NAMED: Final = 0.3
_CHANCE: Final = 0.05  # what the wrong direction may tell more by chance
_BACKWARD: Final = 0.2  # what is left of a driver that only follows
_MONEY: Final = "["


@dataclass(frozen=True, slots=True)
class Candidate:
    """A twin that may be: what is bound, what `kind` of machine it shows, `is_named` where a name
    says so, and a table of its ports' signals: `wall (T,)`, `seconds (T,)`, `values (T, m + r)` in
    the units of the signals (NaN: none), with the `lines` to the ports' and figures to begin
    with."""

    way: Way
    kind: str
    is_named: bool
    machine: str
    name: str
    wall: NDArray[np.int64]
    seconds: Floats
    values: Floats
    lines: Mapping[str, tuple[float, float]]
    starts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen: candidates, the likeliest first; the plant's `clock` and how sure it is;
    `units` guessed and `ranges` found, by sid."""

    candidates: Sequence[Candidate]
    clock: tuple[int, float] | None
    units: Mapping[int, Guess]
    ranges: Mapping[int, Range]


def look(
    base: str, signals: Sequence[Signal], rows: Rows, lines: Lines,
    behaviours: Mapping[str, Behaviour], *, clocks: Mapping[int, float], speeds: Sequence[int],
) -> Look:  # fmt: skip
    """Return what the signals below `base` propose; `clocks` and `speeds` may tell its time (see
    `clock_of`). Raises Refused where there is nothing to learn from."""
    clock = clock_of(rows, clocks, speeds)
    numbers = [one for one in signals if one.kind is not Kind.STRING]
    if not numbers:
        raise Refused(f"'{base}' has text signals only", code="twin.draft",
                      hint="A twin needs signals of numbers")  # fmt: skip
    drawn = tables(rows, [one.sid for one in numbers], clock[0] if clock else None)
    if not drawn:
        raise Refused(f"'{base}' has hardly any samples in that period", code="twin.history",
                      hint="Take a longer period, or wait until the machine has run")  # fmt: skip
    guesses = _guesses(numbers, rows)
    seen = [one for one in numbers if one.sid in drawn[0].sids and _MONEY not in one.unit]
    scene, index = _scene(seen, drawn, guesses, lines)
    if not scene.moves:
        raise Refused(f"nothing of '{base}' moved in that period", code="twin.draft",
                      hint="Take a period in which the machine was moved")  # fmt: skip
    found = [*_physics(base, scene, behaviours), *_lags(base, scene, behaviours)]
    kept = _likeliest(found, len({one.machine for one in found}))
    whole = [_candidate(one, scene, rows, drawn, index, behaviours[one.way.behaviour])
             for one in kept]  # fmt: skip
    ranges = {
        one.sid: told for one in numbers
        if one.kind is not Kind.BOOL and (one.low is None or one.high is None)
        and (told := range_of(rows.v.get(one.sid, np.empty(0)), scene.units.get(one.sid, "")))
    }  # fmt: skip
    return Look(whole, clock, guesses, ranges)


@dataclass(frozen=True, slots=True)
class _Found:
    way: Way
    kind: str
    is_named: bool
    machine: str


def _likeliest(found: Sequence[_Found], machines: int) -> list[_Found]:
    """Return those that are worth a fit, the likeliest first."""
    more = _MORE * (machines - 1)
    most, lags = min(_MOST + more, _MOST_OF_ALL), _MOST_LAGS + more // 2
    kept = list[_Found]()
    for one in sorted(found, key=lambda one: -one.way.prior):
        shown = {bound.sid for bound in one.way.outputs.values()}
        rivals = [other.way.prior for other in kept
                  if shown & {bound.sid for bound in other.way.outputs.values()}]  # fmt: skip
        is_lag = one.way.behaviour == _LAG
        poor = not is_lag and one.way.prior < _POOR * max(rivals, default=0.0)
        if len(kept) < most and not poor and (lags or not is_lag):
            kept.append(one)
            lags -= is_lag
    return kept


def _guesses(signals: Sequence[Signal], rows: Rows) -> dict[int, Guess]:
    """Return the units that those without one may have."""
    found = dict[int, Guess]()
    for one in signals:
        if one.unit or one.kind is Kind.BOOL:
            continue
        told = unit_of(
            f"{one.name} {one.path.rpartition('/')[2]}", rows.v.get(one.sid, np.empty(0))
        )
        if told is not None:
            found[one.sid] = told
    return found


def _scene(
    seen: Sequence[Signal], drawn: Sequence[Table], guesses: Mapping[int, Guess], lines: Lines
) -> tuple[Scene, dict[tuple[int, int], int]]:
    """Return what is known of the signals, and in which table each pair tells most."""
    sids = drawn[0].sids
    moves = np.logical_or.reduce([moving(table) for table in drawn])
    by_sid = {one.sid: one for one in seen}
    columns = [c for c, sid in enumerate(sids) if sid in by_sid]
    order = sorted(columns, key=lambda c: (
        "other" in said_of(by_sid[sids[c]]), not moves[c], len(by_sid[sids[c]].path), sids[c],
    ))  # fmt: skip
    doubles = same(drawn[0], [c for c in order if moves[c]])
    alone = [c for c in order if c not in doubles and "other" not in said_of(by_sid[sids[c]])]
    moved = [c for c in alone if moves[c]]
    responses = [c for c in moved if _responds(by_sid[sids[c]])][:_MOST_RESPONSES]
    drivers = moved[:_MOST_DRIVERS]
    told = np.array([
        gains(table, responses, drivers) * _forward(table, responses, drivers) for table in drawn
    ])  # fmt: skip
    best = told.argmax(axis=0) if told.size else told
    gain = dict[tuple[int, int], float]()
    index = dict[tuple[int, int], int]()
    for i, response in enumerate(responses):
        for j, driver in enumerate(drivers):
            pair = sids[response], sids[driver]
            gain[pair], index[pair] = float(told[:, i, j].max()), int(best[i, j])
    units = {sid: one.unit or (guesses[sid].unit if sid in guesses else "")
             for sid, one in by_sid.items()}  # fmt: skip
    kept = sorted((by_sid[sids[c]] for c in alone), key=lambda one: one.path)
    return Scene(kept, units, frozenset(sids[c] for c in moved), gain, lines), index


def _forward(table: Table, responses: Sequence[int], drivers: Sequence[int]) -> Floats:
    """Return `(responses, drivers)` how much of what a driver tells counts: all of it, unless the
    response goes first, as what a controller follows does."""
    ahead = gains(table, responses, drivers, past_only=True)
    behind = gains(table, drivers, responses, past_only=True).T
    return np.clip(1.0 - 2.0 * (behind - ahead - _CHANCE), _BACKWARD, 1.0)


def _responds(signal: Signal) -> bool:
    """Return whether a signal may be what a machine shows, not what moves it."""
    said = said_of(signal)
    is_driven = "command" in said or ("opening" in said and "measured" not in said)
    return not (signal.writable or is_driven or signal.kind is Kind.BOOL)


def _groups(scene: Scene) -> dict[str, list[Signal]]:
    groups = dict[str, list[Signal]]()
    for one in scene.signals:
        groups.setdefault(one.path.rpartition("/")[0], []).append(one)
    return groups


def _kind(behaviour: str, texts: Sequence[str]) -> tuple[str, bool]:
    """Return the class that a behaviour shows, and whether one of these names says so."""
    named = frozenset[str]().union(*(class_of(text) for text in texts))
    shown = [name for name, (_, own) in CLASSES.items() if behaviour in own]
    if shown:
        return shown[0], shown[0] in named
    if behaviour == _LAG:
        # The one that is said in the narrowest place counts; a valve is part of what it feeds.
        for text in texts:
            if heard := sorted(class_of(text) - {"valve", "production-line"}):
                return heard[0], True
        return PROCESS, False
    return behaviour, behaviour in named


def _physics(base: str, scene: Scene, behaviours: Mapping[str, Behaviour]) -> list[_Found]:
    """Return ways to bind behaviours with physics, in each machine and in the whole."""
    groups = _groups(scene)
    places = dict(groups)
    if len(groups) > 1 and len(scene.signals) <= _MOST_WHOLE:
        places[base] = list(scene.signals)
    found = dict[tuple[object, ...], _Found]()
    for place, own in places.items():
        part = replace(scene, signals=own)
        for behaviour in behaviours.values():
            if behaviour.name == _LAG:
                continue
            for way in ways(behaviour, part):
                named = [place.rpartition("/")[2], *(one.name for one in own if one.sid in {
                    bound.sid for bound in way.outputs.values()})]  # fmt: skip
                kind, is_named = _kind(behaviour.name, named)
                prior = way.prior + _NAMED * is_named
                key = (behaviour.name, *sorted((k, b.sid) for k, b in way.outputs.items()))
                better = _Found(replace(way, prior=prior), kind, is_named, place)
                if key not in found or found[key].way.prior < prior:
                    found[key] = better
    return list(found.values())


def _lags(base: str, scene: Scene, behaviours: Mapping[str, Behaviour]) -> list[_Found]:
    """Return for what moves the lag behind the signal that tells most of it."""
    if _LAG not in behaviours:
        return []
    by_sid = {one.sid: one for one in scene.signals}
    found = list[_Found]()
    for response in sorted({pair[0] for pair in scene.gain}):
        one = by_sid[response]
        place = one.path.rpartition("/")[0]
        ranked = sorted(
            ((_worth(scene.gain[pair], by_sid[pair[1]], place), pair[1])
             for pair in scene.gain if pair[0] == response and pair[1] != response),
            reverse=True,
        )  # fmt: skip
        if not ranked or ranked[0][0] < _TELLS:
            continue
        (worth, driver), runner = ranked[0], ranked[1][0] if len(ranked) > 1 else 0.0
        tells = scene.gain[response, driver]
        way = Way(
            _LAG, {"drive": Bound(driver, min(1.0, worth / max(tells, 1e-9)), runner / worth,
                                  tells)},
            {"level": Bound(response, 1.0, 0.0)}, 0.35 + 0.6 * worth,
        )  # fmt: skip
        kind, is_named = _kind(_LAG, [one.name, place.rpartition("/")[2]])
        found.append(_Found(way, kind, is_named, place))
    return found


def _worth(tells: float, driver: Signal, place: str) -> float:
    """Return what a driver is worth: what it tells, and whether it is a thing that drives."""
    drives = driver.writable or driver.kind is Kind.BOOL or bool(_DRIVES & said_of(driver))
    near = driver.path.rpartition("/")[0] == place
    return tells * (1.0 if drives else _INDIRECT) * (1.0 if near else _ELSEWHERE)


def _candidate(
    found: _Found, scene: Scene, rows: Rows, drawn: Sequence[Table],
    index: Mapping[tuple[int, int], int], behaviour: Behaviour,
) -> Candidate:  # fmt: skip
    way, by_sid = found.way, {one.sid: one for one in scene.signals}
    pairs = [(y.sid, u.sid) for y in way.outputs.values() for u in way.inputs.values()]
    best = max(pairs, key=lambda pair: scene.gain.get(pair, 0.0), default=None)
    table = drawn[index.get(best, 0) if best else 0]
    forms = [(one.name, one.unit, True) for one in behaviour.inputs]
    forms += [(one.name, one.unit, False) for one in behaviour.outputs]
    bound = [(way.inputs if is_input else way.outputs).get(name) for name, _, is_input in forms]
    wall, seconds, own = drawn_of(rows, table, [one.sid for one in bound if one is not None])
    values, lines = np.full((len(wall), len(forms)), np.nan), dict[str, tuple[float, float]]()
    values[:, [i for i, one in enumerate(bound) if one is not None]] = own
    parts = {True: dict[str, Floats](), False: dict[str, Floats]()}
    for column, ((name, unit, is_input), one) in enumerate(zip(forms, bound, strict=True)):
        if one is not None:
            line = scene.lines.get((scene.units[one.sid], unit), (1.0, 0.0)) if unit else (1.0, 0.0)
            lines[f"{'input' if is_input else 'output'}.{name}"] = line
            parts[is_input][name] = filled(values[:, column]) * line[0] + line[1]
    starts = starts_of(behaviour, seconds, parts[True], parts[False])
    shown = by_sid[next(iter(way.outputs.values())).sid]
    machine = shown.path.rpartition("/")[0]
    title = shown.name[:100] if behaviour.name == _LAG else _title(machine, behaviour)
    return Candidate(way, found.kind, found.is_named, machine, title, wall, seconds, values, lines,
                     starts)  # fmt: skip


def _title(machine: str, behaviour: Behaviour) -> str:
    place = machine.rpartition("/")[2].replace("-", " ").replace("_", " ")
    return (
        place[:1].upper() + place[1:]
        if behaviour.name.split("-")[0] in place
        else (f"{place[:1].upper()}{place[1:]} {behaviour.name.replace('-', ' ')}"[:100])
    )
