"""What one machine sends, or one twin is, hurts no other: storms, behaviours that do not fit."""

import math
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.errors import Refused
from lineshaft.core.samples import SampleBlock
from lineshaft.rooms.twins.engine.behaviour import Behaviour, Output, State
from lineshaft.rooms.twins.engine.runtime import Kind, Runtime, compiled_kind
from lineshaft.rooms.twins.kinds import kind_of
from lineshaft.rooms.twins.model import Binding, Figure, Twin

SECOND = 1_000_000
START = 1_700_000_000 * SECOND
CALM = {2, 5, 8}  # sids of the machines that stay calm
_any = st.floats(allow_nan=True, allow_infinity=True) | st.sampled_from([1e300, -1e300, 5e-324])


def lag(number: int, dead_time: float = 0.0, method: str = "kalman") -> Twin:
    """A lag that drive `3 number + 1` moves and level `3 number + 2` measures; told as `+ 100`."""
    drive, level = 3 * number + 1, 3 * number + 2
    return Twin(
        f"lag{number}", f"lag {number}", "a/b/c/d/m", "lag", method,
        {"drive": Binding(drive)}, {"level": Binding(level)}, {"dead_time": Figure(dead_time)},
        estimates={"level": level + 100},
    )  # fmt: skip


def block(step: int, values: dict[int, float], quality: int = 0) -> SampleBlock:
    sids = sorted(values)
    return SampleBlock.from_columns(
        sids, [START + step * SECOND] * len(sids), [values[sid] for sid in sids],
        [0 if sid in CALM else quality for sid in sids], origin="m", arrival=START + step * SECOND,
    )  # fmt: skip


def runtime(*twins: Twin) -> Runtime:
    made = Runtime(kind_of)
    made.set(twins)
    assert made.refused == {}
    return made


def told(found: Any, sids: set[int]) -> list[tuple[int, int, float]]:
    rows = zip(found.sid.tolist(), found.ts.tolist(), found.v.tolist(), strict=True)
    return sorted(row for row in rows if row[0] - 100 in sids)


@settings(max_examples=25)
@given(
    storm=st.lists(st.tuples(_any, _any, st.sampled_from([0, 256, 512])), min_size=3, max_size=12),
    method=st.sampled_from(["kalman", "unscented", "open"]),
    dead_time=st.sampled_from([0.0, 7.0]),
)
def test_a_storm_stays_with_its_own_machine(
    storm: list[tuple[float, float, int]], method: str, dead_time: float
) -> None:
    calm = [lag(n, dead_time, method) for n in range(3)]
    alone, beside = runtime(*calm), runtime(*calm, lag(3, dead_time, method))
    for step, (drive, level, quality) in enumerate(storm):
        values = {sid: math.sin(step + sid) for sid in CALM}
        expected, _ = alone.hear(block(step, values))
        found, _ = beside.hear(block(step, {**values, 10: drive, 11: level}, quality))
        assert told(found, CALM) == told(expected, CALM)
        assert np.isfinite(found.v).all()
    after = block(len(storm) + 5, {11: 1.0})
    assert np.isfinite(beside.hear(after)[0].v).all()
    again, _ = beside.hear(block(len(storm) + 6, {11: 1.0}))
    assert told(again, {11}), "the storm is over and its twin says nothing"


def _odd(states: int, name: str = "odd") -> Behaviour:
    """A behaviour whose form names another number of states than its functions write."""

    def advance(x: Any, u: Any, p: Any, dt: float, out: Any) -> None:
        """Stay, in two places."""
        out[0] = x[0]
        out[1] = x[1]

    def measure(x: Any, u: Any, p: Any, y: Any) -> None:
        """Show the first."""
        y[0] = x[0]

    form = tuple(State(f"s{i}", "", 0.0, 1.0, 0.1) for i in range(states))
    return Behaviour(name, "Odd", "Nowhere", form, (), (Output("s0", "", 0.1),), (),
                     advance, measure)  # fmt: skip


def test_a_state_of_another_shape_is_named_and_the_others_keep_theirs() -> None:
    """A plug-in that has another number of states after an update cannot take the old ones."""
    present = {"states": 2}

    def kinds(twin: Twin) -> Kind:
        if twin.behaviour == "odd":
            if not present["states"]:
                raise Refused("the behaviour 'odd' is not installed", code="twin.behaviour")
            return compiled_kind(twin, _odd(present["states"]))
        return kind_of(twin)

    odd = Twin("odd", "odd", "a/b/c/d/m", "odd", "kalman", outputs={"s0": Binding(11)},
               estimates={"s0": 111})  # fmt: skip
    before = Runtime(kinds)
    before.set([lag(0), odd])
    for step in range(20):
        before.hear(block(step, {1: 1.0, 2: float(step), 11: 3.0}))
    saved = before.save()
    expected, _ = before.hear(block(20, {1: 1.0, 2: 20.0, 11: 3.0}))

    for states, words in ((3, "'odd' has shape"), (0, "not installed")):
        present["states"] = states
        after = Runtime(kinds)
        after.load(saved)
        assert words in after.lost[0]
        after.set([lag(0), odd])
        found, _ = after.hear(block(20, {1: 1.0, 2: 20.0, 11: 3.0}))
        assert told(found, {2}) == told(expected, {2})
        assert len(told(found, {11})) == (states > 0), "it begins anew where it can be run"
        assert set(after.refused) == (set() if states else {"odd"})
