"""FMUs as twins inside the runtime: followed, saved, and stopped without hurting others."""

import math
from pathlib import Path
from typing import Any

import pytest

from lineshaft.core.samples import SampleBlock
from lineshaft.rooms.twins.engine.runtime import Runtime, Told
from lineshaft.rooms.twins.fmi.shelf import FmuShelf, ports_of
from lineshaft.rooms.twins.kinds import kind_of
from lineshaft.rooms.twins.model import Binding, Figure, Twin
from tests.twins.fmi.forge import MODES

SECOND = 1_000_000
START = 1_700_000_000 * SECOND


@pytest.fixture
def shelf(tmp_path: Path, lags: dict[int, Path]) -> FmuShelf:
    (tmp_path / "lag.fmu").write_bytes(lags[3].read_bytes())
    return FmuShelf(tmp_path)


def _fmu(shelf: FmuShelf, **parameters: float) -> Twin:
    inputs, outputs = ports_of(shelf.path("fmu:lag"))
    return Twin(
        "fmu", "fmu", "a/b/c/d/m", "fmu:lag", inputs={inputs[0]: Binding(1)},
        outputs={outputs[0]: Binding(2)}, estimates={outputs[0]: 11},
        noises={outputs[0]: 0.5},
        parameters={name: Figure(value) for name, value in parameters.items()},
    )  # fmt: skip


LAG = Twin("lag", "lag", "a/b/c/d/m", "lag", inputs={"drive": Binding(1)},
           outputs={"level": Binding(2)}, estimates={"level": 21})  # fmt: skip


def _run(runtime: Runtime, first: int, last: int) -> tuple[dict[int, list[float]], list[Told]]:
    values: dict[int, list[float]] = {11: [], 21: []}
    told = []
    for k in range(first, last):
        at = START + k * SECOND
        block = SampleBlock.from_columns([1, 2], [at, at], [2.0, 1.0], [0, 0], origin="m",
                                         arrival=at)  # fmt: skip
        found, shown = runtime.hear(block)
        told += shown
        for sid, kept in values.items():
            kept.extend(found.v[found.sid == sid].tolist())
    return values, told


def _runtime(shelf: FmuShelf, *twins: Twin) -> Runtime:
    runtime = Runtime(lambda twin: kind_of(twin, shelf))
    runtime.set(twins)
    return runtime


def test_an_fmu_follows_its_inputs(shelf: FmuShelf) -> None:
    runtime = _runtime(shelf, _fmu(shelf, gain=3.0, tau=5.0), LAG)
    values, told = _run(runtime, 0, 30)
    assert told == []
    assert values[11] == pytest.approx([6 * (1 - math.exp(-k / 5)) for k in range(30)], rel=1e-9)
    assert len(values[21]) == 30
    runtime.set([LAG])


def test_saved_and_loaded_it_goes_on_exactly(shelf: FmuShelf) -> None:
    twin = _fmu(shelf, gain=3.0, tau=5.0)
    whole, cut = _runtime(shelf, twin), _runtime(shelf, twin)
    expected, _ = _run(whole, 0, 20)
    first, _ = _run(cut, 0, 8)
    again = Runtime(lambda one: kind_of(one, shelf))
    again.load(cut.save())
    second, _ = _run(again, 8, 20)
    assert first[11] + second[11] == expected[11]
    for runtime in (whole, cut, again):
        runtime.set([])


@pytest.mark.parametrize("mode", ["segv", "hangs"])
def test_one_that_fails_is_named_and_the_others_go_on(shelf: FmuShelf, mode: str) -> None:
    runtime = _runtime(shelf, _fmu(shelf, mode=MODES[mode]), LAG)
    values, told = _run(runtime, 0, 6)
    assert len(values[21]) == 6
    assert [one.kind for one in told] == ["twin.failed"]
    assert "lag" in told[0].body["message"]


def test_an_fmu_that_is_gone_is_told_and_the_others_go_on(shelf: FmuShelf) -> None:
    twin = _fmu(shelf)
    shelf.remove("lag")
    runtime = _runtime(shelf, twin, LAG)
    assert "no FMU 'lag'" in runtime.refused["fmu"]
    values, _ = _run(runtime, 0, 3)
    assert len(values[21]) == 3 and values[11] == []


async def test_what_is_no_fmu_is_not_kept(tmp_path: Path) -> None:
    async def content() -> Any:
        yield b"PK not at all"

    with pytest.raises(Exception, match=r"FMU|zip|archive"):
        await FmuShelf(tmp_path).receive("bad", content())
    assert list(tmp_path.iterdir()) == []
