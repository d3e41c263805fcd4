"""Local and remote control: who is in force when, and that no transfer bumps the plant."""

import itertools

import pytest

from lineshaft.core.errors import Refused
from lineshaft.plants.control import ControlState, LocalControl
from lineshaft.plants.signals import load_spec

KEY = "reactor/temperature-sp"  # range 70 to 100
START = {"feed/b-flow-sp": 4.2, KEY: 84.0}


def control() -> LocalControl:
    spec = load_spec("lineshaft.plants.williams_otto")
    return LocalControl(spec, START, timeout_s=10.0, return_h=0.5)


def remote() -> LocalControl:
    seat = control()
    seat.beat(1, 0.0)
    seat.wish(True, 0.0)
    assert seat.state is ControlState.REMOTE
    return seat


def test_starts_local_and_refuses_remote_values() -> None:
    seat = control()
    seat.step(0.0, 0.1)
    assert seat.state is ControlState.LOCAL
    with pytest.raises(Refused, match="under local control"):
        seat.set_remote(KEY, 90.0, 0.0)
    assert seat.in_force == START


def test_a_wish_without_a_heartbeat_is_fallback() -> None:
    seat = control()
    seat.wish(True, 0.0)
    assert seat.state is ControlState.FALLBACK
    with pytest.raises(Refused, match="under fallback control"):
        seat.set_remote(KEY, 90.0, 0.0)


def test_taking_over_changes_nothing_and_remote_values_are_in_force_at_once() -> None:
    seat = remote()
    assert seat.in_force == START
    seat.set_remote(KEY, 90.0, 1.0)
    assert seat.in_force[KEY] == 90.0
    assert seat.local[KEY] == 84.0


def test_the_same_heartbeat_number_again_is_no_life() -> None:
    seat = remote()
    for second in range(1, 10):
        seat.beat(1, float(second))
    seat.step(10.0, 0.0)
    assert seat.state is ControlState.REMOTE
    seat.step(10.1, 0.0)
    assert seat.state is ControlState.FALLBACK


def test_a_changing_heartbeat_keeps_remote() -> None:
    seat = remote()
    for second in range(1, 60):
        seat.beat(second + 1, float(second))
        seat.step(float(second), 0.01)
        assert seat.state is ControlState.REMOTE


def test_fallback_returns_to_local_without_a_bump() -> None:
    seat = remote()
    seat.set_remote(KEY, 99.0, 1.0)
    seat.step(11.5, 0.0)
    assert seat.state is ControlState.FALLBACK
    assert seat.in_force[KEY] == 99.0  # the moment itself changes nothing
    seen = [99.0]
    for _ in range(30):
        seat.step(12.0, 0.01)
        seen.append(seat.in_force[KEY])
    steps = [a - b for a, b in itertools.pairwise(seen)]
    most = (100 - 70) * 0.01 / 0.5
    assert max(steps) <= most + 1e-9
    assert min(steps) >= 0
    assert seen[-1] == 84.0


def test_remote_comes_back_with_the_heartbeat_where_the_plant_stands() -> None:
    seat = remote()
    seat.set_remote(KEY, 99.0, 1.0)
    seat.step(12.0, 0.1)
    between = seat.in_force[KEY]
    assert 84.0 < between < 99.0
    seat.beat(2, 13.0)
    seat.step(13.0, 0.1)
    assert seat.state is ControlState.REMOTE
    assert seat.in_force[KEY] == between


def test_giving_remote_back_goes_local_and_late_writes_are_refused() -> None:
    seat = remote()
    seat.set_remote(KEY, 90.0, 1.0)
    seat.wish(False, 2.0)
    assert seat.state is ControlState.LOCAL
    with pytest.raises(Refused):
        seat.set_remote(KEY, 95.0, 2.0)


def test_a_write_after_the_time_out_is_refused_before_any_step() -> None:
    seat = remote()
    with pytest.raises(Refused):
        seat.set_remote(KEY, 90.0, 10.5)


def test_local_values_are_in_force_at_once_when_nothing_returns() -> None:
    seat = control()
    seat.set_local(KEY, 80.0)
    assert seat.in_force[KEY] == 80.0


def test_the_operators_value_waits_while_remote_is_in_force() -> None:
    seat = remote()
    seat.set_local(KEY, 75.0)
    assert seat.in_force[KEY] == 84.0
    seat.wish(False, 1.0)
    seat.step(1.0, 10.0)
    assert seat.in_force[KEY] == 75.0
