"""Scores and watches inside the runtime: told once, exact over saving, quiet while all is well."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lineshaft.core.samples import SampleBlock
from lineshaft.rooms.twins.engine import monitor
from lineshaft.rooms.twins.engine.runtime import Runtime, Told
from lineshaft.rooms.twins.engine.series import Series
from lineshaft.rooms.twins.engine.watch import Watch
from lineshaft.rooms.twins.jobs import learn_twin
from lineshaft.rooms.twins.kinds import kind_of
from lineshaft.rooms.twins.model import SCORE, Binding, Figure, Twin
from tests.twins.test_keeper import same

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
STEP_S = 10
BARE = Twin(
    "heater", "heater", "a/b/c/d/m", "lag",
    inputs={"drive": Binding(1)}, outputs={"level": Binding(2)},
    parameters={"gain": Figure(0.5), "time_constant": Figure(120.0)},
    walks={"level": 0.05}, noises={"level": 0.3}, estimates={"level": 11, SCORE: 12},
)  # fmt: skip


def _machine(seed: int, rows: int, slope: float = 0.0) -> tuple[Any, Any]:
    """Return drive and level every ten seconds; `slope` (per hour) is what its gain loses."""
    dice, x = np.random.default_rng(seed), 25.0
    drive = np.repeat(dice.uniform(20, 80, rows // 60 + 1), 60)[:rows]
    level, decay = np.empty(rows), np.exp(-STEP_S / 120)
    for k in range(rows):
        gain = 0.5 - slope * k * STEP_S / 3600
        x = decay * x + (1 - decay) * gain * drive[max(k - 1, 0)] + dice.normal(0, 0.15)
        level[k] = x + dice.normal(0, 0.3)
    return drive, level


@pytest.fixture(scope="module")
def taught() -> Twin:
    drive, level = _machine(1, 8000)
    wall = START - 10**11 + np.arange(8000) * STEP_S * SECOND
    series = Series(wall, (wall - wall[0]) * 1e-6, np.stack([drive, level], 1))
    learned = learn_twin(BARE, series)
    watched = monitor.fit(series.values, ["drive", "level"])
    return replace(learned, monitor=Watch.pack(watched, STEP_S * SECOND))


def _run(runtime: Runtime, drive: Any, level: Any, first: int = 0) -> tuple[list[Told], Any]:
    told, scores = list[Told](), list[float]()
    for k in range(len(drive)):
        at = START + (first + k) * STEP_S * SECOND
        block = SampleBlock.from_columns(
            [1, 2], [at, at], [drive[k], level[k]], [0, 0], origin="m", arrival=at
        )
        found, shown = runtime.hear(block)
        told += shown
        scores += found.v[found.sid == 12].tolist()
    return told, np.array(scores)


def _runtime(twin: Twin) -> Runtime:
    runtime = Runtime(kind_of)
    runtime.set([twin])
    return runtime


def test_a_healthy_machine_is_left_alone(taught: Twin) -> None:
    told, scores = _run(_runtime(taught), *_machine(2, 3000))
    assert [one for one in told if one.kind == "twin.drifted"] == []
    assert len(scores) == 3000
    assert np.mean(scores >= 3) < 0.01


def test_a_machine_that_drifts_is_told_once_with_its_output(taught: Twin) -> None:
    told, scores = _run(_runtime(taught), *_machine(3, 3000, slope=0.05))
    drifted = [one for one in told if one.kind == "twin.drifted"]
    assert len(drifted) == 1
    assert drifted[0].body["output"] == "level"
    assert scores[-100:].min() > 3


def test_a_sensor_that_leaves_its_place_is_abnormal_and_named(taught: Twin) -> None:
    drive, level = _machine(4, 1500)
    level[1000:] += 20
    told, _ = _run(_runtime(taught), drive, level)
    abnormal = [one for one in told if one.kind == "process.abnormal"]
    assert abnormal[-1].at >= START + 1000 * STEP_S * SECOND
    assert abnormal[-1].body["signals"][0][0] == "level"


def test_saved_in_the_middle_it_goes_on_exactly(taught: Twin) -> None:
    drive, level = _machine(5, 1200, slope=0.2)
    whole, cut = _runtime(taught), _runtime(taught)
    expected = _run(whole, drive, level)
    first = _run(cut, drive[:500], level[:500])
    again = Runtime(kind_of)
    again.load(cut.save())
    second = _run(again, drive[500:], level[500:], 500)
    assert first[0] + second[0] == expected[0]
    assert np.array_equal(np.concatenate([first[1], second[1]]), expected[1])


def test_other_figures_make_it_forget_nothing_of_its_neighbours(taught: Twin) -> None:
    other = replace(taught, id="other", estimates={"level": 21, SCORE: 22})
    runtime = Runtime(kind_of)
    runtime.set([taught, other])
    _run(runtime, *_machine(6, 300))
    before = {name: array for name, array in runtime.save().items() if "score" in name}
    runtime.set([taught, replace(other, walks={"level": 0.06})])
    after = runtime.save()
    assert all(same(before[name], after[name]) for name in before)
    runtime.set([taught])
    _, scores = _run(runtime, *_machine(7, 100), first=300)
    assert len(scores) == 100
