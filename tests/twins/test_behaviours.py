"""The contract of every behaviour, the library's and plug-ins', generated; and their physics."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.errors import Refused
from lineshaft.rooms.plant.measures import measure
from lineshaft.rooms.twins import plugins
from lineshaft.rooms.twins.engine.behaviour import Behaviour, Output, Parameter, State
from lineshaft.rooms.twins.engine.behaviours import LIBRARY, find
from lineshaft.rooms.twins.engine.checks import CHECKS, FAR, Point, at, complaints, follow, units
from lineshaft.rooms.twins.engine.compiled import compile_behaviour
from lineshaft.rooms.twins.engine.simulate import simulate

GOOD = '''
import math
from lineshaft.rooms.twins.engine.behaviour import Behaviour, Output, Parameter, State

def advance(x, u, p, dt, out):
    """Decay."""
    out[0] = x[0] * math.exp(-dt / p[0])

def measure(x, u, p, y):
    """Show."""
    y[0] = x[0]

def beside(x, u, p, dt, out):
    """Write where there is no state."""
    out[1] = x[0]

def form(name, advance=advance):
    return Behaviour(name, "Decay", "A textbook", (State("level", "m", 1.0, 1.0, 0.01),), (),
                     (Output("level", "m", 0.1),),
                     (Parameter("slowness", "s", 10.0, 0.1, 1e4, text="Time constant"),),
                     advance, measure)

DECAY, WRONG, TAKEN, NONE = form("decay"), form("wrong", beside), form("lag"), "nothing"
'''
POINTS = {"decay": "DECAY", "wrong": "WRONG", "lag": "TAKEN", "none": "NONE", "gone": "ABSENT"}


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install a package with one good and four bad behaviours."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "mill_behaviours.py").write_text(GOOD, "utf-8")
    info = folder / "mill_behaviours-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mill-behaviours\nVersion: 1.0\n")
    lines = [f"{name} = mill_behaviours:{target}" for name, target in POINTS.items()]
    lines.append("rotten = mill_nowhere:DECAY")
    (info / "entry_points.txt").write_text("\n".join([f"[{plugins.GROUP}]", *lines]) + "\n")
    sys.path.insert(0, str(folder))
    plugins.refresh()
    yield folder
    sys.path.remove(str(folder))
    sys.modules.pop("mill_behaviours", None)
    plugins.refresh()


def test_plugins_join_and_broken_ones_are_named(package: Path) -> None:
    found, wrong = plugins.behaviours(), plugins.broken()
    assert set(found) == {*LIBRARY, "decay"}
    assert found["lag"] is LIBRARY["lag"]
    assert set(wrong) == {"wrong", "lag", "none", "gone", "rotten"}
    assert all(name in text and "mill-behaviours" in text for name, text in wrong.items())
    assert "IndexError" in wrong["wrong"]
    assert "taken" in wrong["lag"]
    assert "no Behaviour" in wrong["none"]
    assert "mill_nowhere" in wrong["rotten"]


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", [*LIBRARY, "decay"])
def test_contract(package: Path, name: str, check: str) -> None:
    assert CHECKS[check](plugins.behaviours()[name]) == ""


@pytest.mark.parametrize("name", [*LIBRARY, "decay"])
def test_every_unit_is_one_that_the_platform_knows(package: Path, name: str) -> None:
    assert units(plugins.behaviours()[name], lambda unit: measure(unit) is not None) == ""


@pytest.mark.parametrize("name", LIBRARY)
@settings(max_examples=60)
@given(data=st.data(), reach=st.sampled_from([1.0, 10.0, FAR]))
def test_any_finite_input_gives_a_finite_state(
    name: str, data: st.DataObject, reach: float
) -> None:
    behaviour = LIBRARY[name]
    size = len(behaviour.states) + len(behaviour.inputs) + len(behaviour.parameters) + 1
    share = st.floats(0, 1) | st.sampled_from([0.0, 0.5, 1.0])
    shares = np.array(data.draw(st.lists(share, min_size=size, max_size=size)))
    point = at(behaviour, shares, reach)
    for _ in range(3):
        x, y = follow(behaviour, point, is_compiled=True)
        assert np.isfinite(x).all(), point
        assert np.isfinite(y).all(), point
        point = Point(x, point.u, point.p, point.dt)


def _form(**changes: object) -> Behaviour:
    def advance(x: object, u: object, p: object, dt: float, out: list[float]) -> None:
        """Stay."""
        out[0] = 1.0

    def measure(x: list[float], u: object, p: object, y: list[float]) -> None:
        """Show."""
        y[0] = x[0]

    fields: dict[str, object] = {
        "name": "made", "title": "Made", "source": "Nowhere",
        "states": (State("level", "m", 1.0, 1.0, 0.1),), "inputs": (),
        "outputs": (Output("level", "m", 0.1),), "parameters": (),
        "advance": advance, "measure": measure,
    }  # fmt: skip
    return Behaviour(**{**fields, **changes})  # type: ignore[arg-type]


def _grows(x: list[float], u: object, p: object, dt: float, out: list[float]) -> None:
    """Explode, but only far out."""
    out[0] = x[0] * x[0] * x[0] * 1e300


def _spoils(x: list[float], u: object, p: object, dt: float, out: list[float]) -> None:
    """Write into the state it was given."""
    x[0] = out[0] = 0.5 * x[0]


def _hops(x: list[float], u: object, p: object, dt: float, out: list[float]) -> None:
    """Move as far in any step."""
    out[0] = x[0] + 1.0


def test_checks_find_what_is_wrong() -> None:
    two = (State("level", "m", 1.0, 1.0, 0.1), State("flow", "m3/h", 0.0, 1.0, 0.1))
    assert "without a finite value" in complaints(_form(states=two))[0]
    assert "far: " in complaints(_form(advance=_grows))[0]
    assert "writes into" in complaints(_form(advance=_spoils))[0]
    assert [text for text in complaints(_form(advance=_hops)) if text.startswith("composes")]
    bare = _form(parameters=(Parameter("gain", "1", 1.0, 0.0, 2.0),), source="")
    assert "gain, source" in complaints(bare)[0]
    assert "furlong" in units(_form(outputs=(Output("level", "furlong", 0.1),)),
                              lambda unit: measure(unit) is not None)  # fmt: skip


def test_wrong_forms_and_names_are_refused() -> None:
    with pytest.raises(Refused, match="library"):
        find("perpetuum mobile")
    with pytest.raises(Refused, match="parameters"):
        find("tank").checked(np.ones(2))


def _run(
    name: str, u: list[float], seconds: float, **given: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return states and outputs at the end of a time with inputs held."""
    behaviour = LIBRARY[name]
    p = behaviour.defaults()
    for key, value in given.items():
        p[[one.name for one in behaviour.parameters].index(key)] = value
    code, times = compile_behaviour(behaviour), np.array([0.0, seconds])
    x, y = np.empty((2, len(behaviour.states))), np.empty((2, len(behaviour.outputs)))
    simulate(code.advance, code.measure, behaviour.start(), p, times, np.array([u, u]),
             np.array(behaviour.delays(), np.int64), behaviour.longest_s, x, y)  # fmt: skip
    return x[1], y[1]


def _si(value: float, unit: str) -> float:
    known = measure(unit)
    assert known is not None
    return value * known.factor + known.offset


def test_thermal_mass_settles_where_heat_balances() -> None:
    _, y = _run("thermal-mass", [2.0, 20.0], 1e6)
    warmer = _si(y[0], "Cel") - _si(20.0, "Cel")
    assert _si(2.0, "kW") == pytest.approx(_si(20.0, "W/K") * warmer, rel=1e-9)


def test_tank_settles_where_torricelli_says_and_keeps_its_water() -> None:
    x, y = _run("tank", [18.0, 100.0], 1e5)
    speed = math.sqrt(2 * 9.80665 * x[0])
    assert _si(y[1], "m3/h") == pytest.approx(_si(10.0, "cm2") * speed, rel=1e-9)
    assert y[1] == pytest.approx(18.0, rel=1e-6)
    closed, _ = _run("tank", [3.6, 0.0], 600.0)  # one litre a second into one square metre
    assert closed[0] == pytest.approx(1.6, rel=1e-9)
    assert _run("tank", [360.0, 0.0], 1e4)[0][0] == 3.0  # and spills
    assert _run("tank", [0.0, 100.0], 1e5)[0][0] == pytest.approx(0.0, abs=1e-6)


def test_valve_passes_its_kv_at_one_bar_and_turns_with_pressure() -> None:
    assert _run("valve", [100.0, 2.0, 1.0], 100.0)[1][1] == pytest.approx(25.0, rel=1e-5)
    assert _run("valve", [100.0, 1.0, 2.0], 100.0)[1][1] == pytest.approx(-25.0, rel=1e-5)
    half = _run("valve", [50.0, 2.0, 1.0], 100.0, rangeability=1.0)[1][1]
    assert half == pytest.approx(12.5, rel=1e-5)
    assert _run("valve", [0.0, 2.0, 1.0], 100.0)[1][1] == pytest.approx(0.0, abs=1e-9)


def test_pump_obeys_the_affinity_laws() -> None:
    _, full = _run("pump", [1450.0, 100.0], 1e4, static_head=0.0)
    _, half = _run("pump", [725.0, 100.0], 1e4, static_head=0.0)
    assert half / full == pytest.approx([0.5, 0.5, 0.25, 0.125], rel=1e-6)
    assert full[2] == pytest.approx(0.003 * full[1] ** 2, rel=1e-6)
    # Too slow to lift anything: the check valve holds.
    assert _run("pump", [500.0, 100.0], 1e4)[1][1] == 0.0


def test_compressor_settles_where_consumers_take_what_it_gives() -> None:
    x, y = _run("compressor", [10000.0, 50.0, 1.0, 20.0], 1e5)
    assert y[1] == pytest.approx(0.5 * 0.3 * x[0], rel=1e-5)
    assert (x[0] - 1) / 8 + (y[1] / 2) ** 2 == pytest.approx(1.0, rel=1e-6)
    hot = 293.15 * x[0] ** (0.4 / 1.4 / 0.78)
    assert _si(y[2], "Cel") == pytest.approx(hot, rel=1e-6)
    assert y[3] == pytest.approx(y[1] * 1.004675 * (hot - 293.15), rel=1e-5)


def test_heat_exchanger_gives_to_one_side_what_it_takes_from_the_other() -> None:
    _, y = _run("heat-exchanger", [1.5, 80.0, 0.8, 20.0], 1e5)
    assert 1.5 * (80.0 - y[0]) == pytest.approx(0.8 * (y[1] - 20.0), rel=1e-9)
    still, _ = _run("heat-exchanger", [0.0, 80.0, 0.0, 20.0], 100.0)
    assert still.sum() == pytest.approx(100.0, rel=1e-3)  # nothing flows, nothing is lost


def test_rotor_settles_where_torque_and_heat_balance_and_wears() -> None:
    x, y = _run("rotating-machine", [5.0, 2.0, 20.0], 2e4)
    omega = _si(x[0], "1/min") * 2 * math.pi
    assert omega == pytest.approx(3.0 / 0.02, rel=1e-3)
    assert 10.0 * (x[1] - 20.0) == pytest.approx(0.02 * omega**2, rel=1e-3)
    assert y[2] > x[2] * 0.9 > 0.9
    assert _run("rotating-machine", [1.0, 50.0, 20.0], 1e4)[0][0] == pytest.approx(0.2, abs=0.02)


def test_a_line_of_ten_stations_loses_no_part() -> None:
    behaviour = LIBRARY["station"]
    p, x = behaviour.defaults(), np.tile(behaviour.start(), (10, 1))
    code, y, out = compile_behaviour(behaviour), np.zeros(2), np.zeros(2)
    flow, fed, taken, dt = np.zeros(11), 0.0, 0.0, 5.0
    before = x[:, 0].sum()
    for step in range(8 * 720):
        flow[0] = 70.0
        running = [0.0 if i == 6 and 1000 < step < 3000 else 1.0 for i in range(10)]
        ahead = np.append(x[1:, 0], 0.0)
        for i in range(10):
            code.measure(x[i], np.array([flow[i], ahead[i], running[i]]), p, y)
            flow[i + 1] = y[1]
        if x[0, 0] > 18.0:
            flow[0] = 0.0
        if step == 2999:
            assert x[6, 0] > 15.0  # the one that stands has a full buffer and blocks those before
            assert x[7:, 0].max() < 0.5
            assert flow[5] < 15.0
        for i in range(10):
            code.advance(x[i], np.array([flow[i], ahead[i], running[i]]), p, dt, out)
            x[i] = out
        fed, taken = fed + flow[0] * dt / 3600, taken + flow[10] * dt / 3600
    assert fed - taken == pytest.approx(x[:, 0].sum() - before, abs=0.5)
    assert 70.0 < flow[10] < 95.3  # what was blocked is made up for, no faster than it can


def test_a_delayed_input_acts_late_and_not_before() -> None:
    behaviour = LIBRARY["lag"]
    code, times = compile_behaviour(behaviour), np.arange(0.0, 20.0, 1.5)
    u = (times >= 3.0).astype(float)[:, None]
    x, y = np.empty((times.size, 1)), np.empty((times.size, 1))
    p = np.array([2.0, 5.0, 0.0, 4.2])
    simulate(code.advance, code.measure, np.zeros(1), p, times, u, np.array([3]), math.inf, x, y)
    since = np.maximum(times - 7.2, 0.0)
    assert y[:, 0] == pytest.approx(2.0 * (1 - np.exp(-since / 5.0)), abs=1e-12)
