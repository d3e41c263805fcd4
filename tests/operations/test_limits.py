"""What the machine can take: estimated from what was measured, shown with how it was found."""

import asyncio
import json
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lineshaft.keep import checks
from lineshaft.keep.capacity import Load, Probe, capacity, lines_of, sentence
from lineshaft.keep.probe import measure
from lineshaft.settings import Settings
from tests.backup.conftest import counting
from tests.end_to_end.platform import lineshaft, until
from tests.web.conftest import House, made

_SOME = st.floats(1e-3, 1e9)
_PROBES = st.builds(Probe, st.just(1), st.floats(1e-5, 10), _SOME, _SOME, st.floats(1e-9, 1))
_LOADS = st.builds(
    Load, st.floats(0, 1e8), st.tuples(st.floats(0, 1e9), st.floats(0, 60)),
    st.dictionaries(st.sampled_from(["connect", "web", "history"]), st.floats(0, 8)),
    st.integers(1, 64),
    st.dictionaries(st.sampled_from(["memory", "files", "facts"]), st.tuples(_SOME, _SOME)),
    st.integers(0, 10**6),
)  # fmt: skip


@given(_LOADS, st.none() | _PROBES)
def test_an_estimate_is_the_least_of_what_is_known_and_never_a_guess(
    load: Load, probe: Probe | None
) -> None:
    lines = lines_of(load, probe)
    first = capacity(lines)
    known = [line.samples for line in lines if line.samples]
    assert (first is None) == (not known)
    if first is not None:
        assert first.samples == min(known)
        assert first.name in {"sync", "bus", "writer", "connect", "cpu"}
    for line in lines:
        assert (line.share is None) == (not line.limit)
        assert (line.limit is None) == (line.found == "unknown")
        if line.unit == "samples":
            assert line.now == load.samples_per_s
            assert (line.found == "observed") <= (load.writer[0] >= 200_000)
    if probe is None:
        assert {line.name for line in lines if line.samples} <= {"writer", "connect"}
    shares = {line.name: line.share for line in lines}
    assert shares["cpu"] == sum(load.cores.values()) / load.machine_cores


@given(_LOADS, _PROBES, st.floats(1, 100))
def test_a_faster_disk_never_takes_less(load: Load, probe: Probe, times: float) -> None:
    faster = Probe(1, probe.sync_s / times, probe.bus_per_s * times, probe.writer_per_s * times,
                   probe.cpu_s / times)  # fmt: skip
    before, after = capacity(lines_of(load, probe)), capacity(lines_of(load, faster))
    assert before is not None and after is not None
    assert (after.samples or 0) >= (before.samples or 0)


def test_the_sentence_says_it_plainly() -> None:
    probe = Probe(1, 0.0052, 4e6, 7e6, 1e-7)
    assert sentence(lines_of(Load(), probe), 1_200) == (
        "this machine can take about 1,900,000 samples/s (estimated); now 1,200/s (0.1%); "
        "the disk's sync rate gives out first"
    )
    assert sentence(lines_of(Load(), None), 0) == "what this machine can take is not measured yet"
    busy = lines_of(Load(samples_per_s=50_000, cores={"connect": 0.5}), probe)
    assert "about 100,000 samples/s" in sentence(busy, 50_000)
    assert "the connectors gives out first" in sentence(busy, 50_000)
    idle = lines_of(Load(samples_per_s=50, cores={"connect": 0.05}), probe)
    assert "1,900,000" in sentence(idle, 50)  # the fixed work of a process says nothing


async def test_a_machine_is_measured_in_two_seconds_and_leaves_nothing_but_the_result(
    tmp_path: Path,
) -> None:
    began = time.monotonic()
    found = await measure(tmp_path, Settings())
    assert time.monotonic() - began < 20  # two seconds on a machine that does nothing else
    assert Probe.kept(tmp_path) == found
    assert {path.name for path in tmp_path.rglob("*")} == {"run", "probe.json"}
    assert (tmp_path / "probe.json").stat().st_mode & 0o077 == 0
    assert 1e-6 < found.sync_s < 5
    assert 1e3 < found.bus_per_s < 1e9
    assert 1e4 < found.writer_per_s < 1e9
    assert 1e-9 < found.cpu_s < 1e-3
    for damaged in ("", "{}", "[1]", '{"at": 1}', '"x"'):
        (tmp_path / "probe.json").write_text(damaged)
        assert Probe.kept(tmp_path) is None


async def test_the_doors_and_the_doctor_say_the_same(house: House) -> None:
    sid = house.register(made("limited"))[0]
    until("the machine was measured", lambda: house.get("system/limits")["measured_at"])
    async with counting(house, sid) as counter:
        await counter.put(4)

    def counted() -> bool:
        limits = house.get("system/limits")["limits"]
        return any(line["name"] == "signals" and line["now"] >= 1 for line in limits)

    until("the signal is counted", counted)
    found = await asyncio.to_thread(house.get, "system/limits")
    lines = {line["name"]: line for line in found["limits"]}
    expected = "connect sync bus writer cpu memory files threads stream facts signals"
    assert list(lines) == expected.split()
    assert found["samples_per_s"] == lines[found["first"]]["samples"]
    assert lines["signals"]["limit"] is None
    assert 0 < lines["memory"]["share"] < 1
    assert 0 < lines["facts"]["limit"] == 4e9
    again = await asyncio.to_thread(house.post, "system/limits", {})
    assert again["measured_at"] > found["measured_at"]
    said = await asyncio.to_thread(lineshaft, "doctor", "--data", str(house.folder), "--json")
    load = {one["name"]: one for one in json.loads(said.stdout)["findings"]}["load"]
    assert load["state"] == "ok", load
    assert "this machine can take about" in load["text"]


def test_the_doctor_warns_before_a_limit_is_reached() -> None:
    def said(share: float | None) -> tuple[str, str, str]:
        return checks.load({"sentence": "so it is", "limits": [{"name": "facts", "share": share}]})

    assert said(0.7) == ("ok", "so it is", "")
    assert said(None) == ("ok", "so it is", "")
    assert said(0.72)[:2] == ("warn", "so it is; nearly used up: facts 72%")
