"""The keeper, killed at any moment: every Fact is one entry, and no signed tree was ever undone."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from lineshaft.bus import Bus
from lineshaft.core.errors import Broken, LineshaftError, Refused
from lineshaft.core.facts import Fact
from lineshaft.ledger.bundle import bundle_of_facts, bundle_of_range
from lineshaft.ledger.check import check_ledger
from lineshaft.ledger.log import Ledger
from lineshaft.ledger.service import EvidenceService
from lineshaft.ledger.store import LedgerStore
from lineshaft.ledger.verify import Note, PublicKey, check_consistency, verify
from lineshaft.records import open_records
from tests.crash.site import Child, until
from tests.ledger.conftest import STREAM, fact, make_tables
from tests.ledger.keeper_child import LEASE_LOST, run
from tests.support.nats import NatsServer


class Desk:
    """A bus, a database, keepers that die, and every checkpoint that was ever seen."""

    def __init__(self, folder: Path, nats: NatsServer, bus: Bus) -> None:
        self.folder, self.nats, self.bus = folder, nats, bus
        self.engine = open_records(folder / "records.sqlite")
        make_tables(self.engine)
        self.ledger, self.store = Ledger(self.engine), LedgerStore(self.engine, STREAM)
        self.evidence = EvidenceService(self.ledger, bus)
        self.told: list[Fact] = []
        self.seen: dict[int, Note] = {}
        self._children: list[Child] = []

    def keeper(self) -> Child:
        self._children.append(Child(run, str(self.folder)))
        return self._children[-1]

    async def tell(self, count: int) -> None:
        for _ in range(count):
            one = fact(len(self.told))
            await self.bus.tell(one)
            self.told.append(one)

    def look(self) -> None:
        """Remember the newest checkpoint, as somebody outside would."""
        with suppress(Refused):
            note = self.ledger.newest().note
            known = self.seen.setdefault(note.size, note)
            assert known.root == note.root

    async def entered(self, within_s: float = 30) -> None:
        """Return once all that was told is entered and signed."""
        ids = [one.id for one in self.told]
        await until(lambda: self.ledger.known(ids), within_s)
        self.look()

    def names(self) -> list[str]:
        """Return the ids of all Facts in the order of their entries."""
        found = []
        while True:
            _, some = self.ledger.entries(len(found), 5000)
            found += some
            if not some:
                contents = [json.loads(one.data) for one in found]
                return [one["id"] for one in contents if one["kind"] == "fact"]

    def check(self) -> None:
        """Nothing lacks, nothing is there twice, nothing that was signed was undone."""
        assert self.names() == [one.id for one in self.told]
        newest = self.ledger.newest().note
        for size, note in self.seen.items():
            old, new, proof = self.ledger.consistency(size, newest.size)
            assert (old, new) == (note.root, newest.root)
            check_consistency(size, newest.size, note.root, newest.root, proof)
        found = check_ledger(self.engine)
        assert found.size == found.seen
        _, said = verify(bundle_of_range(self.ledger, 0, newest.size))
        assert not [line for line in said if "CAUTION" in line]

    def end(self) -> None:
        for child in self._children:
            child.kill()
        self.engine.dispose()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    with NatsServer(tmp_path, max_gb=5) as nats:
        async with nats.bus() as bus:
            await bus.ensure_streams(1_000_000_000)
            made = Desk(tmp_path, nats, bus)
            try:
                yield made
            finally:
                made.end()


async def _die(desk: Desk, lives: int, dice: random.Random) -> None:
    """Let so many keepers live for a moment, in which Facts come and keys change."""
    for _ in range(lives):
        before = desk.store.state()
        keeper = desk.keeper()
        await desk.tell(dice.randrange(30))
        await until(lambda at=before: desk.store.state() != at)  # it took the lease
        asking = asyncio.ensure_future(_ask_for_a_key(desk, dice))
        await desk.tell(dice.randrange(60))
        await asyncio.sleep(dice.uniform(0, 0.15))
        desk.look()
        keeper.kill()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        desk.look()


async def _ask_for_a_key(desk: Desk, dice: random.Random) -> None:
    if dice.random() < 0.5:
        with suppress(LineshaftError):
            await desk.bus.ask("history", "ledger-key", {}, 1)


async def test_a_keeper_killed_at_any_moment_enters_each_fact_once(desk: Desk) -> None:
    await _die(desk, 5, random.Random(6))
    desk.keeper()
    await desk.entered()
    desk.check()
    assert len(list((desk.folder / "keys").glob("ledger-*.key"))) == 1


@pytest.mark.long
@pytest.mark.timeout(400)
async def test_many_kills_of_keeper_and_bus(desk: Desk) -> None:
    dice = random.Random(7)
    for _ in range(8):
        await _die(desk, 5, dice)
        desk.nats.kill()
        desk.nats.start()
    desk.keeper()
    await desk.entered(60)
    desk.check()


async def test_a_fact_that_comes_again_is_one_entry(desk: Desk) -> None:
    desk.keeper()
    await desk.tell(3)
    for again in ("a", "b"):  # other message ids: the bus takes them for other messages
        await desk.bus._store("ls.t.fact.link.lost", fact(1).to_json(), {"Nats-Msg-Id": again})
    await desk.tell(1)
    await desk.entered()
    desk.check()


async def test_what_is_no_fact_is_entered_as_it_came(desk: Desk) -> None:
    odd = [b"no json", b'{"kind": 5}', b"", b"\xff", Fact("a.b", 1, "s", {"n": 2**60}).to_json(),
           Fact("a.b", 1, "s", {"n": float("nan")}).to_json(), Fact("a.b", 1, "\ud800").to_json(),
           Fact("a.b", 2**80, "s\0").to_json()]  # fmt: skip
    for data in odd:
        await desk.bus._store("ls.t.fact.odd", data, {})
    await desk.tell(2)
    desk.keeper()
    await desk.entered()
    entries, _ = verify(bundle_of_range(desk.ledger, 0, desk.ledger.newest().note.size))
    raw = [entry for entry in entries if entry["kind"] == "raw"]
    assert len(raw) == len(odd) and {entry["why"] for entry in raw} == {
        "fact.form", "ledger.canonical"
    }  # fmt: skip
    desk.check()


async def test_a_stream_made_anew_goes_on_and_what_is_known_stays_one_entry(desk: Desk) -> None:
    desk.keeper()
    await desk.tell(5)
    await desk.entered()
    await desk.bus.streams._call(f"STREAM.DELETE.{STREAM}", {})
    await desk.bus.ensure_streams(1_000_000_000)
    for one in desk.told[2:]:  # as a restore does
        await desk.bus.tell(one)
    await desk.tell(4)
    await desk.entered()
    desk.check()
    state = desk.store.state()
    assert state is not None and (state.point.epoch, state.size) == (1, 10)


async def test_messages_that_are_gone_are_entered_as_lost(desk: Desk) -> None:
    await desk.tell(5)
    await desk.bus.streams.purge(STREAM, before=4)
    keeper = desk.keeper()
    await until(lambda: desk.ledger.known([desk.told[4].id]))
    keeper.kill()
    await desk.tell(5)
    await desk.bus.streams.purge(STREAM, before=8)
    desk.keeper()
    await until(lambda: desk.ledger.known([desk.told[9].id]))
    entries, _ = verify(bundle_of_range(desk.ledger, 0, desk.ledger.newest().note.size))
    lost = [entry["fact"]["body"] for entry in entries if entry.get("fact", {}).get("kind") ==
            "history.lost"]  # fmt: skip
    assert lost == [{"from": 6, "to": 7}]  # the beginning was never the ledger's


async def test_a_key_that_is_lost_is_replaced_and_said(desk: Desk) -> None:
    keeper = desk.keeper()
    await desk.tell(2)
    await desk.entered()
    first = desk.ledger.newest().key
    keeper.kill()
    for file in (desk.folder / "keys").glob("ledger-*"):
        file.unlink()
    desk.keeper()
    await desk.tell(1)
    await desk.entered()
    raw = bundle_of_range(desk.ledger, 0, 2)
    assert any("CAUTION" in line and first.id in line for line in verify(raw)[1])
    verify(raw, key=desk.ledger.newest().key)
    assert check_ledger(desk.engine).size == 5


async def test_a_second_keeper_ends_the_first(desk: Desk) -> None:
    first = desk.keeper()
    await desk.tell(1)
    await desk.entered()
    desk.keeper()
    await until(lambda: (state := desk.store.state()) is not None and state.lease != "")
    await desk.tell(1)
    await desk.entered()
    await desk.tell(1)
    assert await first.ended() == LEASE_LOST
    await desk.entered()
    desk.check()


async def test_rooms_prove_what_they_have_just_told(desk: Desk) -> None:
    desk.keeper()
    await desk.tell(1)
    await desk.entered()
    await desk.tell(5)
    ids = [one.id for one in desk.told[:0:-1]]
    entries, _ = verify(await desk.evidence.prove(ids))
    assert [entry["id"] for entry in entries] == ids
    with pytest.raises(Refused) as refused:
        bundle_of_facts(desk.ledger, [*ids, "nothing"])
    assert (refused.value.code, refused.value.status) == ("ledger.unknown", 404)


async def test_the_key_is_changed_on_request(desk: Desk) -> None:
    with pytest.raises(Broken):
        await desk.bus.ask("history", "ledger-key", {}, 0.2)
    desk.keeper()
    await desk.tell(1)
    await desk.entered()
    first = desk.ledger.newest().key
    made = PublicKey.parse(await desk.evidence.change_key())
    assert desk.ledger.newest().key == made != first
    await desk.tell(1)
    await desk.entered()
    _, said = verify(bundle_of_range(desk.ledger, 0, 2), key=first)
    assert any("follows from the one you gave" in line for line in said)
    (file,) = (desk.folder / "keys").glob("ledger-*.key")
    assert made.id in file.name and file.stat().st_mode & 0o777 == 0o600
    desk.check()
