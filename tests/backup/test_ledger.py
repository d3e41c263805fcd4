"""The ledger goes along: a backup without it whole is refused, a restored one goes on from it."""

import hashlib
import json
import sqlite3
from base64 import b64decode
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lineshaft.bus import Bus
from lineshaft.core.errors import Refused
from lineshaft.core.facts import Fact
from lineshaft.keep.backup import make_backup
from lineshaft.keep.cut import copy_database, read_cut
from lineshaft.keep.manifest import MANIFEST
from lineshaft.keep.messages import read_messages, save_messages
from lineshaft.keep.restore import restore_backup
from lineshaft.keep.verify import verify_backup
from lineshaft.ledger.store import LedgerStore, Point
from lineshaft.ledger.verify import check_consistency, parse_note, verify
from lineshaft.plan import Plan
from lineshaft.records import open_records
from lineshaft.records.migrate import migrate
from lineshaft.rooms.history.model import Checkpoint
from lineshaft.rooms.history.store import Catalogue, FactStore
from tests.backup.test_whole import silent
from tests.end_to_end.platform import running, until
from tests.ledger.conftest import Filled
from tests.support.nats import NatsServer
from tests.web.conftest import House


async def _made(house: House, target: Path) -> Path:
    settings = Plan.read(house.folder).settings
    await make_backup(settings, target, with_secrets=True, onto=None, progress=silent)
    return target


async def test_a_backup_whose_ledger_was_changed_is_refused(house: House, tmp_path: Path) -> None:
    until("something is entered", lambda: house.get("ledger/checkpoint")["size"] > 1)
    backup = await _made(house, tmp_path / "backup")
    verify_backup(backup, silent)
    file = backup / "records.sqlite"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "UPDATE ledger_entries SET data = CAST(data || ' ' AS BLOB) WHERE number = 1"
        )
    manifest = json.loads((backup / MANIFEST).read_bytes())
    del manifest["sha256"]
    entry = next(one for one in manifest["files"] if one["role"] == "database")
    content = file.read_bytes()
    entry.update(size=len(content), sha256=hashlib.sha256(content).hexdigest())
    plain = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    manifest["sha256"] = hashlib.sha256(plain.encode()).hexdigest()
    (backup / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(Refused, match="its ledger was changed: entry 1 was changed"):
        verify_backup(backup, silent)


async def test_a_restored_ledger_goes_on_from_where_it_was(house: House, tmp_path: Path) -> None:
    until("something is entered", lambda: house.get("ledger/checkpoint")["size"] > 1)
    before: dict[str, Any] = house.get("ledger/checkpoint")
    backup, folder = await _made(house, tmp_path / "b"), tmp_path / "new"
    proof = await restore_backup(backup, folder, silent)
    assert proof.entries >= before["size"]
    settings = str(folder / "restored-settings.toml")
    with running(folder, "--config", settings, verb="up", kind=House) as again:
        assert isinstance(again, House)
        fact = until("the restore is told", lambda: again.facts("backup.restored"))[0]
        until("it is entered", lambda: again.ask("GET", "ledger/proof", fact=fact["id"]).is_success)
        after = again.get("ledger/checkpoint")
        old, new = parse_note(before["text"]), parse_note(after["text"])
        query = {"from": old.size, "to": new.size}
        found = again.get("ledger/consistency", **query)
        check_consistency(old.size, new.size, old.root, new.root,
                          [b64decode(one) for one in found["proof"]])  # fmt: skip
        content = again.ask("GET", "ledger/export", fact=fact["id"], since=old.size).content
        _, said = verify(content, since=old)
        assert any("nothing was rewritten" in line for line in said)
        assert after["key"] == before["key"]


async def test_what_either_reader_of_facts_lacks_is_saved(tmp_path: Path) -> None:
    """The ledger may be behind the keeper of Facts at the moment of the cut, or not begun."""
    migrate(tmp_path / "records.sqlite")
    with NatsServer(tmp_path) as nats:
        async with nats.bus() as bus:
            await bus.ensure_streams(1_000_000_000)
            facts = [Fact("link.lost", number, "s") for number in range(1, 7)]
            for one in facts:
                await bus.tell(one)
            state = await bus.streams.state("FACT_t")
            _keep_facts(tmp_path, state.token, facts[:5])
            assert await _saved(bus, tmp_path) == [1, 2, 3, 4, 5, 6]
            ledger = Filled(tmp_path)
            for position, expected in ((3, [4, 5, 6]), (6, [6])):
                point = Point(state.token, 0, position, facts[position - 1].id)
                ledger.state = ledger.store.move(ledger.state, point)
                assert await _saved(bus, tmp_path) == expected
            ledger.state = ledger.store.move(ledger.state, Point("another", 0, 6, ""))
            assert await _saved(bus, tmp_path) == [1, 2, 3, 4, 5, 6]
            assert LedgerStore(ledger.engine, "FACT_t").state() == ledger.state


def _keep_facts(folder: Path, token: str, facts: list[Fact]) -> None:
    engine = open_records(folder / "records.sqlite")
    catalogue = Catalogue(engine, "FACT_t")
    catalogue.take_lease("x")
    start = Checkpoint(0, 0, "")
    catalogue.open_epoch("x", token, start, 0)
    after = Checkpoint(0, len(facts), facts[-1].id)
    FactStore(engine).keep(catalogue, "x", start, list(enumerate(facts, 1)), after)
    engine.dispose()


async def _saved(bus: Bus, folder: Path) -> list[int]:
    """Return the numbers of the messages that a backup would save now."""
    copy_database(folder / "records.sqlite", folder / "copy.sqlite")
    cut = read_cut(folder / "copy.sqlite")
    made = await save_messages(bus, "FACT_t", cut.read_by_all("FACT_t"), folder)
    with (folder / made.name).open("rb") as file:
        return [message.seq for message in read_messages(file)]
