"""The ladder: one step up at a time and only with a record, one down with each trip."""

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.engine.ladder import (
    REQUIRED,
    STOPPED,
    Mode,
    Record,
    Requirement,
    demoted,
    lacking,
    promoted,
    record_of,
)

GOOD = {mode: Record(mode, 1e3, 1000, 1.0) for mode in Mode}


def test_it_is_climbed_one_step_at_a_time_by_a_person_with_a_record() -> None:
    assert [promoted(mode, GOOD[mode], "anna") for mode in list(Mode)[:3]] == list(Mode)[1:]
    refused = [
        (Mode.AUTONOMOUS, GOOD[Mode.AUTONOMOUS], "anna", "autonomous already"),
        (Mode.SHADOW, GOOD[Mode.SHADOW], "  ", "only a person"),
        (Mode.SHADOW, GOOD[Mode.ADVISORY], "anna", "the record is of advisory"),
        (Mode.SHADOW, Record(Mode.SHADOW, 7.99, 99, 1.0), "anna", "plant hours"),
        (Mode.SHADOW, Record(Mode.SHADOW, math.nan, 99, 1.0), "anna", "plant hours"),
        (Mode.SHADOW, Record(Mode.SHADOW, 8.0, 4, 1.0), "anna", "4 of 5 proposals"),
        (Mode.SHADOW, Record(Mode.SHADOW, 8.0, 5, 0.79), "anna", "79%"),
        (Mode.SHADOW, Record(Mode.SHADOW, 8.0, 5, math.nan), "anna", "came true"),
        (Mode.SHADOW, Record(Mode.SHADOW, 8.0, 5, 1.01), "anna", "came true"),
    ]
    for mode, record, by, why in refused:
        with pytest.raises(Refused, match=why):
            promoted(mode, record, by)
    assert promoted(Mode.SHADOW, Record(Mode.SHADOW, 8.0, 5, 0.8), "anna") is Mode.ADVISORY


def test_what_is_asked_for_is_data_but_never_nothing() -> None:
    strict = {mode: Requirement(100.0, 50, 0.95) for mode in REQUIRED}
    with pytest.raises(Refused, match="of 100 plant hours"):
        promoted(Mode.SHADOW, Record(Mode.SHADOW, 99.0, 60, 1.0), "anna", strict)
    for broken in ((-1.0, 1, 0.9), (1.0, 0, 0.9), (1.0, 1, 0.4), (1.0, 1, 1.1), (math.inf, 1, 1.0),
                   (math.nan, 1, 1.0), (1.0, 1, math.nan)):  # fmt: skip
        with pytest.raises(Refused):
            Requirement(*broken)


def test_a_record_counts_what_came_true() -> None:
    shown = [(1.0, 1.0), (1.0, 1.1), (1.0, 1.2), (math.nan, 1.0), (1.0, math.inf)]
    assert record_of(Mode.SHADOW, 9.0, shown, 0.15) == Record(Mode.SHADOW, 9.0, 5, 0.4)
    assert record_of(Mode.SHADOW, 9.0, [], 1.0).within == 0.0
    assert record_of(Mode.SHADOW, 9.0, shown, math.nan).within == 0.0
    assert (
        lacking(record_of(Mode.SHADOW, 9.0, [(0.0, 0.0)] * 5, 0.0), REQUIRED[Mode.SHADOW]) is None
    )


EVENTS = st.one_of(
    st.tuples(st.just("promote"), st.sampled_from(list(Mode)), st.floats(0, 100),
              st.integers(0, 50), st.floats(0, 1), st.sampled_from(["", "anna"])),
    st.tuples(st.just("trip")), st.tuples(st.just("stop")),
)  # fmt: skip


@settings(max_examples=60)
@given(st.lists(EVENTS, max_size=40))
def test_modes_move_only_along_the_ladder(events: list[tuple[object, ...]]) -> None:
    mode, path = Mode.SHADOW, [("begin", Mode.SHADOW, None)]
    for event in events:
        record = None
        if event[0] == "promote":
            _, of, hours, proposals, within, by = event
            record = Record(of, hours, proposals, within)  # type: ignore[arg-type]
            try:
                mode = promoted(mode, record, str(by))
            except Refused:
                record = None
        else:
            mode = demoted(mode) if event[0] == "trip" else STOPPED
        path.append((str(event[0]), mode, record))  # type: ignore[arg-type]
    for (_, before, _), (what, after, record) in pairwise(path):
        if after.step > before.step:
            assert what == "promote" and after.step == before.step + 1
            assert record is not None and record.mode is before
            assert lacking(record, REQUIRED[before]) is None
        elif after.step < before.step:
            assert (what, after) == ("stop", Mode.SHADOW) or (
                what == "trip" and after.step == before.step - 1
            )
        assert what != "stop" or after is Mode.SHADOW
        assert what != "trip" or after is Mode.SHADOW or after.step == before.step - 1
