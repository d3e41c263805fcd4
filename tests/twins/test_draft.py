"""Drafts: the right kind of machine, its ports and its figures, out of names, units and samples."""

import dataclasses
import functools
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from lineshaft.core.errors import Refused
from lineshaft.core.signals import Kind, Signal
from lineshaft.rooms.plant.conversion import conversion
from lineshaft.rooms.twins.drafting import draft_candidate, draft_judge, draft_look
from lineshaft.rooms.twins.engine.behaviours import LIBRARY
from lineshaft.rooms.twins.engine.draft.causes import gains, moving, same
from lineshaft.rooms.twins.engine.draft.ranges import UNITS, range_of, unit_of
from lineshaft.rooms.twins.engine.draft.reasons import SENTENCES
from lineshaft.rooms.twins.engine.draft.tables import Rows, clock_of, tables
from lineshaft.rooms.twins.engine.draft.words import class_of, concepts
from tests.twins.draft_machines import RECIPES, START, Made, machine

STYLES = ("zh", "tag", "en")
Lines = Mapping[tuple[str, str], tuple[float, float]]


@functools.cache
def _line(unit: str, port: str) -> tuple[float, float] | None:
    try:
        return conversion(unit, port)
    except Refused:
        return None


def _lines(signals: list[Signal]) -> Lines:
    ports = {one.unit for form in LIBRARY.values() for one in form.inputs}
    ports |= {one.unit for form in LIBRARY.values() for one in form.outputs}
    pairs = [(unit, port) for unit in {one.unit for one in signals} | set(UNITS) for port in ports]
    return {pair: line for pair in pairs if all(pair) and (line := _line(*pair)) is not None}


def drafted(made: Made) -> list[dict[str, Any]]:
    found = draft_look(made.path, made.signals, made.columns, _lines(made.signals), {}, [])
    trials = [draft_candidate(one, None) for one in found.candidates]
    return draft_judge(found, [one for one in trials if one is not None], made.signals)


def _ports(twin: Any) -> dict[str, int]:
    return {f"in.{name}": one.sid for name, one in twin.inputs.items()} | {
        f"out.{name}": one.sid for name, one in twin.outputs.items()
    }


def _near(made: Made, twin: Any) -> list[bool]:
    """Say of each fitted figure whether it is right within a tenth, a dead time within a step."""
    period = RECIPES[made.kind].period
    return [
        abs(twin.parameters[one.name].value - made.truth[one.name])
        <= 0.1 * abs(made.truth[one.name]) + (period if one.unit == "s" and one.low == 0 else 0)
        for one in LIBRARY[made.kind].parameters if one.is_fitted and one.name in twin.parameters
    ]  # fmt: skip


@pytest.mark.parametrize(("kind", "style"), [("lag", "tag"), ("tank", "zh"), ("valve", "en")])
def test_a_machine_is_found_with_its_ports_and_figures(kind: str, style: str) -> None:
    made = machine(kind, style, 3)
    best, *others = drafted(made)
    twin = best["twin"]
    assert twin.behaviour == kind and twin.machine == made.path
    assert _ports(twin) == dict(made.ports)
    assert best["confidence"] > 0.8 and best["told"] > 0.8
    assert all(one["confidence"] <= best["confidence"] for one in others)
    assert np.mean(_near(made, twin)) >= 0.75
    for line in best["fields"]:
        assert 0.0 <= line["confidence"] <= 1.0
        assert line["reason"] in SENTENCES and line["why"].endswith(".") and "{" not in line["why"]
    named = {line["name"]: line for line in best["fields"]}
    assert {"name", "class", "behaviour"} < named.keys()
    assert {f"parameters.{name}" for name in twin.parameters} <= named.keys()


def test_the_same_samples_give_the_same_drafts() -> None:
    made = machine("lag", "en", 5, rows=300)
    assert repr(drafted(made)) == repr(drafted(made))


@pytest.mark.long
@pytest.mark.timeout(600)
def test_most_machines_of_every_kind_are_found() -> None:
    right, bound, near, sure = list[bool](), list[bool](), list[bool](), list[float]()
    for kind, style in zip(RECIPES, itertools.cycle(STYLES)):  # a draft of a line takes a minute
        made = machine(kind, style, 11)
        best = drafted(made)[0]
        is_right = best["twin"].behaviour == kind
        right.append(is_right)
        sure.append(best["confidence"])
        got = _ports(best["twin"]) if is_right else {}
        bound += [got.get(port) == sid for port, sid in made.ports.items()]
        near += _near(made, best["twin"]) if is_right else []
    print(f"kinds {np.mean(right):.2f}, ports {np.mean(bound):.2f}, figures {np.mean(near):.2f}")
    assert np.mean(right) >= 0.85
    assert np.mean(bound) >= 0.8
    assert np.mean(near) >= 0.7
    assert abs(np.mean(sure) - np.mean(right)) < 0.15  # confidence means what it says


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hot inlet temperature", {"hot", "inlet", "temperature"}),
        ("轴承温度", {"bearing", "temperature"}), ("FT-301", {"flow"}), ("PIC 7", {"pressure"}),
        ("BearingTemp", {"bearing", "temperature"}), ("Valve command", {"opening", "command"}),
        ("Total", set()), ("Protein", set()),
    ],
)  # fmt: skip
def test_names_are_heard(text: str, said: set[str]) -> None:
    heard = concepts(text)
    assert said <= heard and (said or not heard)


def test_classes_are_heard_in_both_languages() -> None:
    assert class_of("Feed pump 3") == {"pump"} == class_of("三号给水泵")
    assert class_of("Oil cooler") == {"heat-exchanger"} == class_of("油冷却器")
    assert class_of("U-100") == frozenset()


def test_a_unit_is_read_from_a_name_or_guessed_from_the_samples() -> None:
    warm = np.linspace(20, 90, 50)
    written, guessed = unit_of("Oil temp (°C)", warm), unit_of("Oil temperature", warm)
    assert written is not None and (written.unit, written.is_written) == ("Cel", True)
    assert guessed is not None and guessed.unit == "Cel" and 0.5 < guessed.confidence < 0.9
    kelvin = unit_of("Oil temperature", warm + 1000)
    assert kelvin is not None and kelvin.unit == "K"
    assert unit_of("Colour", warm) is None and unit_of("Speed", -warm) is None


def test_a_range_is_as_sure_as_the_later_half_keeps_to_it() -> None:
    level = 50 + 10 * np.sin(np.arange(4000) / 7)
    calm, rising = range_of(level, "m"), range_of(np.linspace(0, 10, 4000), "m")
    assert calm is not None and rising is not None
    assert calm.low <= 40 and calm.high >= 60 and calm.confidence > 0.95
    assert rising.confidence < 0.05
    assert range_of(level, "%") == dataclasses.replace(calm, low=0.0, high=100.0)
    assert range_of(np.full(100, 3.0), "m") is None and range_of(np.full(9, np.nan), "m") is None


def _rows(*columns: Any, period_s: float = 1.0) -> Rows:
    stamps = START + (np.arange(len(columns[0])) * period_s * 1e6).astype(np.int64)
    count = len(columns)
    return Rows.of(
        np.repeat(np.arange(1, count + 1), len(stamps)), np.tile(stamps, count),
        np.concatenate(columns), np.zeros(count * len(stamps), np.int64),
    )  # fmt: skip


def test_what_moves_what_is_told_from_what_only_looks_like_it() -> None:
    rng = np.random.default_rng(4)
    drive = np.repeat(rng.uniform(0, 1, 150), 20)
    level, wander = np.zeros(3000), np.cumsum(rng.normal(size=3000))
    for k in range(1, 3000):
        level[k] = 0.9 * level[k - 1] + 0.1 * drive[k - 1] + 0.01 * rng.normal()
    counter = np.arange(3000.0)
    (table, *_) = tables(
        _rows(drive, level, wander, counter, -2 * level + 7), [1, 2, 3, 4, 5], None
    )
    assert moving(table).tolist() == [True, True, True, False, True]
    assert same(table, [0, 1, 2, 4]) == {4: 1}
    told = gains(table, [1, 2], [0, 1, 2])
    assert told[0, 0] > 0.5 and told[0, 2] < 0.05
    first = gains(table, [0, 1], [0, 1], past_only=True)
    assert first[1, 0] > first[0, 1] + 0.05  # the drive goes first
    assert told[1].max() < 0.15


def test_a_plant_that_runs_faster_is_noticed_by_its_clock() -> None:
    speed = np.where(np.arange(600) < 300, 60.0, 10.0)
    hours = np.concatenate([[0.0], np.cumsum(speed[:-1])]) / 3600
    rows = _rows(hours, speed, np.full(600, 3.0))
    found = clock_of(rows, {1: 3600.0}, [3, 2])
    assert found is not None and found[0] == 2 and found[1] > 0.9
    assert clock_of(rows, {1: 3600.0}, [3]) is None
    with_the_wall = _rows(np.arange(600) / 3600.0, np.ones(600))
    assert clock_of(with_the_wall, {1: 3600.0}, [2]) is None
    table = tables(rows, [1], 2)[0]
    assert table.seconds[-1] == pytest.approx(hours[-1] * 3600, rel=0.01)


def _signal(sid: int, kind: Kind = Kind.FLOAT) -> Signal:
    return Signal(sid, f"acme/north/hall/line-1/m/s{sid}", f"s{sid}", kind)


@pytest.mark.parametrize(
    ("kind", "values", "said"),
    [
        (Kind.STRING, np.ones(100), "text signals only"),
        (Kind.FLOAT, np.ones(100), "nothing of .* moved"),
        (Kind.FLOAT, np.ones(5), "hardly any samples"),
        (Kind.FLOAT, np.full(100, np.nan), "hardly any samples"),
        (Kind.FLOAT, np.arange(100.0), "nothing of .* moved"),
    ],
)  # fmt: skip
def test_what_cannot_be_drafted_is_refused(kind: Kind, values: Any, said: str) -> None:
    stamps = START + np.arange(len(values)) * 1_000_000
    columns = np.ones(len(values), int), stamps, values, np.zeros(len(values), int)
    with pytest.raises(Refused, match=said):
        draft_look("acme/north/hall/line-1/m", [_signal(1, kind)], columns, {}, {}, [])


def test_noise_alone_is_told_with_little_confidence() -> None:
    rng = np.random.default_rng(8)
    made = machine("pump", "en", 1, rows=300)
    sid, ts, v, q = made.columns
    noise = rng.normal(size=len(v))
    for draft in drafted(dataclasses.replace(made, columns=(sid, ts, noise, q))):
        assert draft["confidence"] < 0.5 and draft["told"] < 0.2
