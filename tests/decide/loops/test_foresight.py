"""A loop that asks twins before it moves: inside the limits it moves, outside or unanswered not.

The loop runs in its process, over a real bus and a real OPC UA server. The twins' side of the bus
is answered here, with bands that the test chooses; tests/web/test_twins.py asks the real one.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from lineshaft.core.commands import Ending
from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.model import Conditions, Foresight, Goal, Loop, LoopHandle, LoopLimit
from tests.connect.conftest import until
from tests.decide.loops.test_killed import LONG_S, Looped, looped, machine

__all__ = ["looped", "machine"]


class Twins:
    """Whoever foretells: `high` is where the limited signal is expected to come, None: nowhere."""

    def __init__(self, sid: int) -> None:
        self.sid, self.high = sid, 30.0
        self.asked: list[Mapping[str, Any]] = []
        self.knows = True

    async def answer(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self.asked.append(body)
        if not self.knows:
            raise Refused("this twin is unwell")
        return {"bands": [[self.sid, 20.0, self.high]]}


@pytest.mark.parametrize("goes_wrong", ["the band leaves the limit", "the twin does not answer"])
async def test_a_move_that_no_twin_foretells_to_be_safe_is_refused(
    looped: Looped, goes_wrong: str
) -> None:
    house = looped.house
    limited, before = house.sid("temperature"), len(looped.written())
    twins = Twins(limited)
    await house.bus.serve("foresight", "whatif", twins.answer)
    looped.add(
        "autonomous", limits=(LoopLimit(limited, 0.0, 40.0),),
        foresight=Foresight(("twin-1",), (limited,), 2.0),
    )  # fmt: skip
    looped.start()
    looped.heat(True)
    await until(lambda: looped.done() >= 2, LONG_S, "it moves where all is foretold to be well")
    first = twins.asked[0]
    assert (first["twins"], first["hours"]) == (["twin-1"], 2.0)
    assert [sid for sid, _ in first["moves"]] == [looped.handle]

    if goes_wrong == "the band leaves the limit":
        twins.high = 41.0
    else:
        twins.knows = False
    await until(lambda: looped.store.get("loop").mode != "autonomous", LONG_S, "it is demoted")
    refused = [one.outcome for one in looped.moves()
               if one.outcome is not None and one.outcome.ending is Ending.REFUSED]  # fmt: skip
    assert refused[-1].guard == "what-if"
    told = "would come to 20 … 41" if twins.knows else "nothing foretells"
    assert told in refused[-1].reason
    sent = {one.command.value for one in looped.moves() if one.sent is not None}
    assert set(looped.written()[before:]) <= sent


def test_a_foresight_that_means_nothing_is_refused() -> None:
    for wrong in ({"twins": ("a",)}, {"sids": (1,)},
                  {"twins": ("a",), "sids": (1,), "hours": 0.0}):  # fmt: skip
        with pytest.raises(Refused, match="foresight"):
            Foresight(**wrong)  # type: ignore[arg-type]


def test_a_loop_keeps_its_foresight_and_an_older_record_has_none(looped_record: Loop) -> None:
    text = looped_record.to_json()
    again = Loop.from_json(text, id="x", revision=1)
    assert again.conditions.foresight == looped_record.conditions.foresight
    older = text.replace(', "foresight": {"hours": 2.0, "sids": [7], "twins": ["a"]}', "")
    assert older != text
    assert Loop.from_json(older, id="x", revision=1).conditions.foresight == Foresight()


@pytest.fixture
def looped_record() -> Loop:
    return Loop(
        "x", "Rule", "a/b/c/d/e", Goal("t", "minimise", "", 5), (LoopHandle(3, 0.0, 1.0, 1.0),),
        (LoopLimit(7, 0.0, 1.0),), method="rules",
        conditions=Conditions(foresight=Foresight(("a",), (7,), 2.0)),
    )  # fmt: skip


def test_what_is_to_be_foretold_must_have_a_limit(looped_record: Loop) -> None:
    with pytest.raises(Refused, match="has no limit"):
        replace(looped_record, limits=())
