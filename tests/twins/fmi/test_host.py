"""FMUs in processes of their own: what they compute, keep and survive; what becomes of bad ones."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from lineshaft.core.errors import Broken, Refused
from lineshaft.rooms.twins.fmi import FmuHost, Limits, describe
from tests.twins.fmi import forge
from tests.twins.fmi.forge import MODES

QUICK = Limits(memory_mb=128)
IMPATIENT = Limits(memory_mb=128, step_s=1)
PATIENT = Limits(memory_mb=128, step_s=60)  # so that only what is meant to can end it
BIG = 50 << 20  # float64: more than an FMU may take


@pytest.fixture(params=[2, 3])
def lag(request: pytest.FixtureRequest, lags: dict[int, Path]) -> Path:
    return lags[request.param]


def _inputs(host: FmuHost, count: int, **columns: object) -> np.ndarray:
    rows = np.zeros((count, host.form.n_inputs))
    at = 0
    for port in host.form.inputs:
        value = np.asarray(columns.get(port.name, 0.0))
        rows[:, at : at + port.size] = (
            value[:, None] if len(value.shape) and port.size == 1 else value
        )
        at += port.size
    return rows


def _column(host: FmuHost, name: str) -> int:
    names = [port.name for port in host.form.outputs]
    return sum(port.size for port in host.form.outputs[: names.index(name)])


def test_a_lag_follows_its_closed_form(lag: Path) -> None:
    with FmuHost.start(lag, QUICK, {"gain": 3.0, "tau": 5.0}, t0=100.0) as host:
        times = 100 + np.cumsum(np.tile([0.1, 0.4], 500))
        out = host.advance(times, _inputs(host, 1000, u=2.0))
        np.testing.assert_allclose(out[:, 0], 6 * (1 - np.exp(-(times - 100) / 5)), rtol=1e-12)
        assert host.time == times[-1]
        assert (host.outputs == out[-1]).all()
        assert host.is_walled


def test_one_call_for_many_steps_is_the_same_as_many_calls(lag: Path) -> None:
    u = np.random.default_rng(1).normal(size=5000)
    with FmuHost.start(lag, QUICK) as one, FmuHost.start(lag, QUICK) as other:
        inputs = _inputs(one, 5000, u=u)
        whole = one.advance(0.25 * np.arange(1, 5001), inputs)
        single = np.array([other.step(row, 0.25) for row in inputs[:200]])
    assert (whole[:200] == single).all()


def test_every_type_arrives_as_what_it_is(lag: Path) -> None:
    with FmuHost.start(lag, QUICK, {"u": 1.5, "switch": 1, "n": 4}) as host:
        n = [2.4, 2.6, 1e300, -1e300, np.nan]
        out = host.advance(np.arange(1.0, 6), _inputs(host, 5, n=n, switch=[0, 0.1, 1, np.nan, 0]))
        assert out[:, _column(host, "is_on")].tolist() == [0, 1, 1, 1, 0]
        count = out[:, _column(host, "count")].tolist()
        assert count[:2] == [4, 6]
        assert count[3] == count[4]  # NaN: the input keeps its value
        if host.form.version == "3.0":
            row = _inputs(host, 1, vector=[1, 2, 3])[0]
            at = _column(host, "double")
            assert host.step(row, 1)[at : at + 3].tolist() == [2, 4, 6]


def test_an_input_that_is_not_finite_keeps_its_value(lag: Path) -> None:
    given, meant = [np.nan, np.inf, 3, np.nan, -np.inf, 5], [7, 7, 3, 3, 3, 5]
    times = np.arange(1.0, 7)
    with FmuHost.start(lag, QUICK, {"u": 7}) as one, FmuHost.start(lag, QUICK) as other:
        out = one.advance(times, _inputs(one, 6, u=given))
        assert (out == other.advance(times, _inputs(other, 6, u=meant))).all()
        later = one.advance(times + 6, _inputs(one, 6, u=np.nan))
        assert (later == other.advance(times + 6, _inputs(other, 6, u=5))).all()


def test_a_saved_state_goes_on_exactly_in_another_process(lag: Path) -> None:
    u = np.random.default_rng(2).normal(size=300)
    u[150] = np.nan  # its value is held across the save
    times = np.arange(1.0, 301)
    with FmuHost.start(lag, QUICK, {"tau": 9}) as one, FmuHost.start(lag, QUICK) as other:
        inputs = _inputs(one, 300, u=u)
        one.advance(times[:150], inputs[:150])
        saved = one.save()
        assert saved is not None
        at_save = one.outputs
        whole = one.advance(times[150:], inputs[150:])
        other.restore(saved)
        assert other.time == 150
        assert (other.outputs == at_save).all()
        assert (other.advance(times[150:], inputs[150:]) == whole).all()
        one.restore(saved)  # and back in time
        assert (one.advance(times[150:], inputs[150:]) == whole).all()


def test_a_state_of_another_fmu_is_refused(lags: dict[int, Path]) -> None:
    with FmuHost.start(lags[2], QUICK) as two, FmuHost.start(lags[3], QUICK) as three:
        saved = two.save()
        assert saved is not None
        for state in (saved, b"", saved[:20], b"x" * 200):
            with pytest.raises(Refused, match=r"lag3\.fmu"):
                three.restore(state)
        assert three.step(_inputs(three, 1)[0], 1).shape == (three.form.n_outputs,)


def test_an_fmu_that_cannot_save_says_so(tmp_path: Path, lags: dict[int, Path]) -> None:
    text = forge.describe_lag(2).replace('canSerializeFMUstate="true"', "")
    path = forge.pack(tmp_path / "plain.fmu", 2, _library(lags[2]), text=text)
    assert not describe(path).can_save
    with FmuHost.start(path, QUICK) as host:
        assert host.save() is None


def _library(path: Path) -> bytes:
    return path.with_suffix(".so").read_bytes()


BAD = {
    "hangs": ("fmi.hung", "kept still for too long in a step after 0.9 s"),
    "segv": ("fmi.crashed", r"crashed \(SIGSEGV\) in a step after 0.9 s"),
    "exits": ("fmi.crashed", r"crashed \(exit code 7\) in a step after 0.9 s"),
    "fails": ("fmi.failed", "failed in a step after 0.9 s: fmi.DoStep failed with status 3"),
    "greedy": ("fmi.memory", r"ran out of memory .*crashed \(SIGSEGV\) in a step after"),
    "lurks": ("fmi.memory", r"ran out of memory \(\d+ of 128 MiB taken\): failed in a step after"),
    "forks": ("fmi.hung", "kept still for too long"),
}


@pytest.mark.parametrize(
    ("mode", "version"),
    [("hangs", 2), ("hangs", 3), ("segv", 2), ("segv", 3), ("exits", 3), ("fails", 2), ("fails", 3),
     ("greedy", 2), ("lurks", 3), ("forks", 2)],
)  # fmt: skip
def test_a_bad_fmu_is_stopped_and_named_while_another_goes_on(
    lags: dict[int, Path], mode: str, version: int
) -> None:
    (code, words), lag = BAD[mode], lags[version]
    limits = IMPATIENT if code == "fmi.hung" else PATIENT
    with (
        FmuHost.start(lag, QUICK) as good,
        FmuHost.start(lag, limits, {"mode": MODES[mode]}) as bad,
    ):
        bad.advance(np.arange(1, 10) / 10, _inputs(bad, 9))
        began = time.monotonic()
        with pytest.raises(Broken, match=f"{lag.name}.*{words}") as caught:
            for _ in range(3):
                bad.step(_inputs(bad, 1)[0], 0.1)
        assert caught.value.code == code
        if limits is IMPATIENT:
            assert time.monotonic() - began < 10
        with pytest.raises(Broken, match=lag.name) as again:
            bad.save()
        assert again.value.code == code
        assert np.isfinite(good.advance(np.arange(1.0, 50), _inputs(good, 49, u=1))).all()


def test_what_the_platform_takes_itself_does_not_hide_a_greedy_fmu(lags: dict[int, Path]) -> None:
    ours = np.ones(BIG)
    with FmuHost.start(lags[2], PATIENT, {"mode": MODES["greedy"]}) as host:
        with pytest.raises(Broken, match="ran out of memory") as caught:
            host.advance(np.arange(1, 12) / 10, _inputs(host, 11))
        assert caught.value.code == "fmi.memory"
    assert ours.size == BIG


def _left_over(folder: Path) -> list[psutil.Process]:
    """Return what processes there still are that were given something under this folder."""
    found = psutil.process_iter(["cmdline", "status"])
    mine = [p for p in found if str(folder) in str(p.info["cmdline"])]
    return psutil.wait_procs(mine, timeout=5)[1]


@pytest.fixture(autouse=True)
def unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Have FMUs unpacked here; fail a test that leaves a process or a file of one behind."""
    folder = tmp_path / "unpacked"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield folder
    assert _left_over(folder) == []


def test_a_hang_in_a_long_call_is_noticed_in_the_time_of_one_step(lag: Path) -> None:
    with FmuHost.start(lag, IMPATIENT, {"mode": MODES["hangs"]}) as host:
        began = time.monotonic()
        with pytest.raises(Broken, match=r"in a step after \d"):
            host.advance(np.arange(1, 50_001) / 50_000 * 20, _inputs(host, 50_000))
        assert time.monotonic() - began < 10


@pytest.mark.parametrize("mode", ["prints", "outside", "starts"])
def test_it_reaches_neither_pipe_nor_network_nor_programs(lag: Path, mode: str) -> None:
    with FmuHost.start(lag, QUICK, {"mode": MODES[mode]}) as host:
        assert np.isfinite(host.advance(np.arange(1.0, 4), _inputs(host, 3))).all()


def test_what_is_not_a_number_comes_out_as_it_is(lag: Path) -> None:
    with FmuHost.start(lag, QUICK, {"mode": MODES["nans"]}) as host:
        out = host.advance(np.array([0.5, 1.0, 1.5]), _inputs(host, 3, u=1))
        assert np.isnan(out[:, 0]).tolist() == [False, True, True]


def test_rows_after_an_end_that_the_fmu_asked_for_are_nan(lag: Path) -> None:
    with FmuHost.start(lag, QUICK, {"mode": MODES["ends"]}) as host:
        out = host.advance(np.array([0.5, 1.0, 1.5, 2.0]), _inputs(host, 4, u=1))
        assert np.isfinite(out[:2]).all()
        assert np.isnan(out[2:]).all()
        assert host.is_ended


@pytest.mark.parametrize(
    "values",
    [{"nobody": 1}, {"u": [1, 2]}, {"u": float("nan")}, {"u": "text"}, {"name": 3}, {"y": 1},
     {"width": 4}],
)  # fmt: skip
def test_a_start_value_that_cannot_be_is_refused(
    lags: dict[int, Path], values: dict[str, float | str]
) -> None:
    with pytest.raises(Refused, match=r"lag3\.fmu.*"):
        FmuHost.start(lags[3], QUICK, values)


def test_calls_that_cannot_be_are_refused_and_change_nothing(lag: Path) -> None:
    with FmuHost.start(lag, QUICK) as host:
        rows = _inputs(host, 2)
        for times, inputs in (
            ([1.0, 1.0], rows), ([0.0, 1.0], rows), ([1.0, np.nan], rows), ([1.0], rows),
            ([1.0, 2.0], rows[:, :1]),
        ):  # fmt: skip
            with pytest.raises(Refused):
                host.advance(np.array(times), inputs)
        assert host.advance(np.empty(0), rows[:0]).shape == (0, host.form.n_outputs)
        assert host.time == 0


def test_a_wrong_token_names_the_fmu(tmp_path: Path, lags: dict[int, Path]) -> None:
    text = forge.describe_lag(3).replace("{ours}", "{theirs}")
    path = forge.pack(tmp_path / "theirs.fmu", 3, _library(lags[3]), text=text)
    with pytest.raises(Broken, match=r"theirs\.fmu.*failed while it started"):
        FmuHost.start(path, QUICK)


@pytest.mark.parametrize("library", [b"", b"not a library", b"\x7fELF" + b"\0" * 60])
def test_a_library_that_is_none_names_the_fmu(tmp_path: Path, library: bytes) -> None:
    path = forge.pack(tmp_path / "odd.fmu", 2, library)
    with pytest.raises(Broken, match=r"odd\.fmu.*failed while it started.*") as caught:
        FmuHost.start(path, QUICK)
    assert caught.value.code == "fmi.failed"


def test_nothing_is_left_behind(lag: Path, unpacked: Path) -> None:
    host = FmuHost.start(lag, QUICK)
    assert list(unpacked.iterdir()) != []
    host.close()
    host.close()
    assert list(unpacked.iterdir()) == []
    assert _left_over(unpacked) == []
    with pytest.raises(Broken, match="was closed"):
        host.step(_inputs(host, 1)[0], 1)


def test_it_survives_the_thread_that_started_it_and_ends_with_its_pipe(lag: Path) -> None:
    found: list[FmuHost] = []
    thread = threading.Thread(target=lambda: found.append(FmuHost.start(lag, QUICK, {"mode": 1})))
    thread.start()
    thread.join()
    host = found[0]
    host.step(_inputs(host, 1)[0], 0.5)
    (child,) = (p for p in psutil.Process().children() if "fmi.child" in str(p.cmdline()))
    # A step that hangs, and then the platform is gone.
    row = np.array([1.5, *_inputs(host, 1)[0]])
    host._send({"do": "advance", "rows": 1}, row.tobytes(), 1)
    host._inward.close()
    assert child.wait(timeout=5) == 0
