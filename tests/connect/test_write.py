"""Writing to real OPC UA servers, good and bad ones: what is written, how often, what is said."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

import pytest
from asyncua import ua

from lineshaft.bus import Bus
from lineshaft.clock import now_us
from lineshaft.core.commands import Command, Ending
from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.actuate import BusActuator, Plan, Turns, guarded, recover
from lineshaft.rooms.decide.engine.guards import Envelope, Scene
from lineshaft.rooms.decide.engine.guards_people import Replay, Stop
from lineshaft.rooms.decide.engine.guards_plant import Bounds, Unchanged
from lineshaft.rooms.decide.engine.ladder import Mode
from tests.connect.conftest import House, ServerProcess, until
from tests.connect.proxy import FaultProxy
from tests.connect.test_link import connected
from tests.decide.journal import MemoryJournal

TYPES = ["SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64",
         "Float", "Double", "Boolean", "String"]  # fmt: skip
SOON = 10_000_000


@pytest.fixture(scope="module")
def machine() -> Iterator[ServerProcess]:
    """A server with writable variables of all types; each test leaves it in a good mood."""
    server = ServerProcess(typed=TYPES).start()
    yield server
    server.stop()


@pytest.fixture
async def opened(house: House, machine: ServerProcess) -> AsyncIterator[House]:
    source = await house.add(machine.endpoint)
    await open_for_writing(house, source)
    machine.do("write", name="Temperature", value=20.0, kind="Double")
    yield house
    machine.do("mood")


async def open_for_writing(house: House, source: str) -> None:
    await house.ask("change", id=source, writes=True)
    await until(lambda: house.service._running[source].source.writes)
    await connected(house, source)


class Number:
    """Ids for writes."""

    count = 0

    def __call__(self) -> str:
        Number.count += 1
        return f"w{Number.count}"


number = Number()


async def write(house: House, suffix: str, value: Any, **more: Any) -> Any:
    body = {"id": number(), "sid": house.sid(suffix), "value": value,
            "expires": now_us() + SOON, **more}  # fmt: skip
    return await house.ask("write", **body)


async def read(house: House, suffix: str) -> Any:
    return (await house.ask("read", sid=house.sid(suffix)))["value"]


async def test_numbers_arrive_in_the_type_of_the_variable(
    opened: House, machine: ServerProcess
) -> None:
    for name in TYPES:
        suffix = f"as-{name.lower()}"
        wanted = {"Boolean": 0, "Float": 2.5, "Double": 2.5}.get(name, 7)
        answer = await write(opened, suffix, wanted)
        if name == "String":
            assert answer["result"] == "refused" and "String" in answer["reason"]
            continue
        assert answer == {"result": "accepted", "reason": "", "status": "Good"}, name
        assert machine.do("value", name=f"As {name}") == wanted
        assert await read(opened, suffix) == wanted
    samples = await opened.samples("as-double")
    await until(lambda: samples or True)


@pytest.mark.parametrize(
    ("name", "value"),
    [("byte", -1), ("byte", 256), ("int16", 1.5), ("uint64", 2.0**64), ("int64", 2.0**63),
     ("float", 1e39), ("boolean", 2), ("double", "5"), ("double", None), ("double", True),
     ("sbyte", 128)],
)  # fmt: skip
async def test_a_number_that_the_type_cannot_hold_is_refused_and_never_sent(
    opened: House, machine: ServerProcess, name: str, value: Any
) -> None:
    before = machine.do("taken")
    answer = await write(opened, f"as-{name}", value)
    assert answer["result"] == "refused" and answer["reason"]
    assert machine.do("taken") == before


async def test_nothing_is_written_where_people_did_not_open_the_source(
    house: House, machine: ServerProcess
) -> None:
    source = await house.add(machine.endpoint)
    await connected(house, source)
    before, link_since = machine.do("taken"), house.state(source).since
    answer = await write(house, "temperature", 30.0)
    assert (answer["result"], answer["status"]) == ("refused", "write.closed")
    assert "not open for writing" in answer["reason"]
    await house.ask("change", id=source, writes=True)
    await until(lambda: house.service._running[source].source.writes)
    assert (await write(house, "temperature", 30.0))["result"] == "accepted"
    await house.ask("change", id=source, writes=False)
    await until(lambda: not house.service._running[source].source.writes)
    assert (await write(house, "temperature", 40.0))["status"] == "write.closed"
    assert machine.do("taken") == [*before, ["Temperature", 30.0]]
    assert house.state(source).since == link_since, "opening for writing cuts no link"


async def test_what_cannot_be_written_is_refused_with_the_reason(
    opened: House, machine: ServerProcess
) -> None:
    before = machine.do("taken")
    slow = await write(opened, "slow", 2.0)
    assert (slow["result"], slow["status"]) == ("refused", "BadNotWritable")
    unknown = await write(opened, "slow", 2.0, sid=123_456)
    assert unknown["result"] == "refused" and "123456" in unknown["reason"]
    late = await write(opened, "temperature", 2.0, expires=now_us() - 1)
    assert late["result"] == "expired"
    for broken in ({"id": ""}, {"id": 5}, {"sid": "x"}, {"sid": -4}, {"expires": None}):
        assert (await write(opened, "temperature", 2.0, **broken))["result"] == "refused"
    assert machine.do("taken") == before
    with pytest.raises(Refused, match="123456"):
        await opened.ask("read", sid=123_456)


async def test_one_id_is_sent_once(opened: House, machine: ServerProcess) -> None:
    before = len(machine.do("taken"))
    both = await asyncio.gather(
        write(opened, "temperature", 31.0, id="same"), write(opened, "temperature", 31.0, id="same")
    )
    assert sorted(one["result"] for one in both) == ["accepted", "refused"]
    assert len(machine.do("taken")) == before + 1


async def test_a_machine_that_refuses_says_why_in_a_sentence(
    opened: House, machine: ServerProcess
) -> None:
    said = {
        "BadOutOfRange": "range", "BadInvalidState": "remote control", "BadDeviceFailure": "failed",
        "BadUserAccessDenied": "user", "BadBoundNotFound": "BadBoundNotFound",
    }  # fmt: skip
    for status, word in said.items():
        machine.do("mood", status=getattr(ua.StatusCodes, status))
        answer = await write(opened, "temperature", 30.0)
        assert (answer["result"], answer["status"]) == ("refused", status)
        assert word in answer["reason"]
    machine.do("mood", status=ua.StatusCodes.BadTimeout)
    assert (await write(opened, "temperature", 30.0))["result"] == "unknown"


async def test_beats_are_numbers_and_switches_only(opened: House, machine: ServerProcess) -> None:
    heart, wish = opened.sid("as-sbyte"), opened.sid("as-boolean")
    for turn in (1, 127, 128, 1000):
        await opened.ask("beat", heartbeat=heart, wish=wish, number=turn, remote=True)
        assert machine.do("value", name="As SByte") == turn % 100
        assert machine.do("value", name="As Boolean") is True
    taken = len(machine.do("taken"))
    await opened.ask("beat", heartbeat=heart, wish=wish, number=5, remote=True)
    assert len(machine.do("taken")) == taken + 1, "a wish that stands is not written again"
    await opened.ask("beat", heartbeat=heart, wish=wish, number=6, remote=False)
    assert machine.do("value", name="As Boolean") is False
    assert machine.do("value", name="As SByte") == 5, "who lets go does not beat"
    with pytest.raises(Refused, match="no heartbeat"):
        await opened.ask("beat", heartbeat=opened.sid("temperature"), number=1)


# The whole way: guards, journal, read-back


def chain(bus: Bus, sid: int, journal: MemoryJournal, **more: Any) -> Plan:
    envelopes = {sid: Envelope(sid, 0.0, 150.0, rate=1e6)}

    async def scenes(_: Command) -> Scene:
        return Scene(mode=Mode.AUTONOMOUS, stopped=False, abnormal=())

    guards = [Stop(), Replay(), Bounds(envelopes), Unchanged(envelopes)]
    return Plan(
        BusActuator(bus, now_us), guards, envelopes, scenes, journal, Turns(), now_us,
        read_back_s=0.5, **more,
    )  # fmt: skip


def command(sid: int, value: float, before: float = 20.0, lives: int = SOON) -> Command:
    at = now_us()
    return Command(number(), sid, value, at, at + lives, "loop", before=before)


STORIES: Mapping[str, tuple[Mapping[str, Any], Ending, str, float | None]] = {
    "obeys": ({}, Ending.DONE, "", 55.0),
    "refuses": ({"status": 0x803C0000}, Ending.REFUSED, "range", None),
    "needs a moment": ({"delay_s": 0.3}, Ending.DONE, "", 55.0),
    "shows it late": ({"settles_s": 0.2}, Ending.DONE, "", 55.0),
    "clamps": ({"clamp": 50.0}, Ending.FAILED, "reads back as 50", 50.0),
    "lies": ({"settles_s": 30}, Ending.FAILED, "reads back as 0", 0.0),
    "accepts and forgets": ({"swallow": True}, Ending.FAILED, "reads back as 20", 20.0),
    "shows nothing": ({"mute": 0x808B0000}, Ending.REFUSED, "cannot be read", None),
}


@pytest.mark.parametrize("story", STORIES)
async def test_a_write_is_believed_only_when_read_back(
    opened: House, machine: ServerProcess, story: str
) -> None:
    mood, ending, reason, read_back = STORIES[story]
    sid, journal = opened.sid("temperature"), MemoryJournal()
    machine.do("mood", **mood)
    taken = len(machine.do("taken"))
    outcome = await guarded(chain(opened.bus, sid, journal)).write(command(sid, 55.0))
    assert outcome.ending == ending and reason in outcome.reason
    assert outcome.read_back == read_back
    assert journal.book.entries[outcome.command].outcome == outcome
    expected = 0 if story == "shows nothing" else 1
    assert len(machine.do("taken")) == taken + expected
    machine.do("mood")


@pytest.mark.parametrize(
    "moment", ["after the answer", pytest.param("before the answer", marks=pytest.mark.long)]
)
async def test_a_machine_that_dies_is_asked_again_but_not_written_again(
    house: House, servers: Callable[..., ServerProcess], moment: str
) -> None:
    server = servers(typed=["Double"])
    source = await house.add(server.endpoint)
    await open_for_writing(house, source)
    sid, journal = house.sid("as-double"), MemoryJournal()
    server.do("mood", die=moment)
    plan = chain(house.bus, sid, journal, grace_us=1_000_000)
    mine = command(sid, 55.0, before=1.0, lives=3_000_000)
    writing = asyncio.create_task(guarded(plan).write(mine))
    await until(lambda: server._process.poll() is not None, 10, "the machine has died")
    server.stop()
    server.start()  # with 1.0 again: a machine that forgets at a restart
    outcome = await asyncio.wait_for(writing, 15)
    assert outcome.ending is Ending.FAILED
    assert server.do("taken") == [] and server.do("value", name="As Double") == 1.0
    assert await recover(plan) == []


async def test_a_link_cut_under_a_write_is_settled_by_reading(
    house: House, machine: ServerProcess
) -> None:
    async with FaultProxy(machine.port) as proxy:
        source = await house.add(f"opc.tcp://127.0.0.1:{proxy.port}")
        await open_for_writing(house, source)
        machine.do("write", name="Temperature", value=20.0, kind="Double")
        sid, journal = house.sid("temperature"), MemoryJournal()
        machine.do("mood", answers_s=0.5)
        taken = len(machine.do("taken"))
        plan = chain(house.bus, sid, journal)
        writing = asyncio.create_task(guarded(plan).write(command(sid, 66.0)))
        await until(lambda: len(machine.do("taken")) == taken + 1, 5, "it is under way")
        proxy.cut()
        outcome = await asyncio.wait_for(writing, 15)
        machine.do("mood")
        assert outcome.ending is Ending.DONE and outcome.read_back == 66.0
        assert len(machine.do("taken")) == taken + 1, "it was sent once"


async def test_a_decision_process_that_dies_sends_nothing_again(
    opened: House, machine: ServerProcess
) -> None:
    """Ended between the write and the read-back; the next life reads, and decides by that."""
    sid, journal = opened.sid("temperature"), MemoryJournal()
    machine.do("mood", delay_s=0.2)
    taken = len(machine.do("taken"))
    mine = command(sid, 77.0)
    dying = asyncio.create_task(guarded(chain(opened.bus, sid, journal)).write(mine))
    await until(lambda: len(machine.do("taken")) == taken + 1, 5, "it is sent")
    dying.cancel()
    await asyncio.wait([dying])
    (outcome,) = await recover(chain(opened.bus, sid, journal))
    assert outcome.ending is Ending.DONE and outcome.read_back == 77.0
    assert len(machine.do("taken")) == taken + 1
    again = await guarded(chain(opened.bus, sid, journal)).write(mine)
    assert again == outcome and len(machine.do("taken")) == taken + 1
