"""The doors of the ledger: what they hand out proves itself, as far as the caller may see."""

import io
import json
import sqlite3
import subprocess
import sys
import zipfile
from base64 import b64decode
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lineshaft.keep.cut import copy_database
from lineshaft.keep.evidence import look
from lineshaft.ledger.verify import (
    PublicKey,
    check_consistency,
    leaf_hash,
    parse_note,
    root_of_inclusion,
    verify,
)  # fmt: skip
from tests.end_to_end.platform import lineshaft, until
from tests.web.conftest import House
from tests.web.test_people import person


def entered(house: House, kind: str) -> dict[str, Any]:
    """Return a Fact of a kind that the newest checkpoint holds."""

    def look() -> dict[str, Any] | None:
        listed = house.get("ledger/entries", limit=5000)["entries"]
        found = [json.loads(one["entry"]) for one in listed]
        return next(
            (one for one in reversed(found) if one.get("fact", {}).get("kind") == kind), None
        )

    found: dict[str, Any] = until(f"a {kind} is in the ledger", look)
    return found


@pytest.fixture(scope="module")
def called(house: House) -> dict[str, Any]:
    """An audited call."""
    house.post("people", {"name": "evi", "display_name": "Evi", "role": "viewer"})
    return entered(house, "audit.called")


def test_a_fact_is_proven_to_whoever_asks(house: House, called: dict[str, Any]) -> None:
    found = house.get("ledger/proof", fact=called["id"])
    note = parse_note(found["checkpoint"]["text"])
    note.check(PublicKey.parse(found["checkpoint"]["key"]))
    entry = found["entry"]
    assert json.loads(entry["entry"]) == called
    proof = [b64decode(one) for one in entry["proof"]]
    leaf = leaf_hash(entry["entry"].encode())
    assert root_of_inclusion(entry["index"], note.size, leaf, proof) == note.root
    assert (note.size, note.origin) == tuple(found["checkpoint"][k] for k in ("size", "origin"))


def test_the_tree_begins_with_every_earlier_one(house: House, called: dict[str, Any]) -> None:
    first = house.get("ledger/checkpoint")
    house.ask("DELETE", "people/evi")
    until("it has grown", lambda: house.get("ledger/checkpoint")["size"] > first["size"])
    later = house.get("ledger/checkpoint")
    found = house.get("ledger/consistency", **{"from": first["size"], "to": later["size"]})
    proof = [b64decode(one) for one in found["proof"]]
    old, new = b64decode(first["root"]), b64decode(later["root"])
    check_consistency(first["size"], later["size"], old, new, proof)


def test_an_export_proves_itself(house: House, called: dict[str, Any], tmp_path: Path) -> None:
    answer = house.ask("GET", "ledger/export", fact=called["id"], since=1)
    assert answer.headers["content-type"] == "application/zip"
    entries, _ = verify(answer.content)
    assert [one["id"] for one in entries] == [called["id"]]
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extract("verify.py", tmp_path)
    (tmp_path / "e.zip").write_bytes(answer.content)
    command = [sys.executable, "-I", "verify.py", "e.zip"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "ALL HOLDS"), done.stdout
    whole, _ = verify(house.ask("GET", "ledger/export", **{"from": 0}).content)
    assert whole[0]["kind"] == "key" and called["id"] in [one["id"] for one in whole]


def test_a_viewer_gets_proofs_but_not_the_words_of_the_audit(
    house: House, called: dict[str, Any]
) -> None:
    with person(house, "viewer") as viewer:
        found = viewer.get("ledger/proof", params={"fact": called["id"]}).json()["entry"]
        assert found["entry"] is None and found["proof"]
        entries, said = verify(viewer.get("ledger/export", params={"from": 0}).content)
        assert any(one["withheld"] for one in entries) and "withheld" in said[-1]
        words = [one for one in entries if not one["withheld"]]
        assert not [
            one for one in words if one.get("fact", {}).get("kind", "").startswith("audit.")
        ]
        refused = viewer.get("ledger/export", params={"fact": called["id"]})
        assert (refused.status_code, refused.json()["code"]) == (403, "ledger.hidden")
        assert viewer.post("ledger/key", headers={"X-Lineshaft": "1"}).status_code == 403


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [("proof", {"fact": "nothing"}, 404), ("proof", {}, 422), ("export", {}, 422),
     ("export", {"fact": "a", "from": 1}, 422), ("export", {"from": 9**9}, 404),
     ("export", {"from": 0, "since": 9**9}, 404), ("consistency", {"from": 5, "to": 4}, 404)],
)  # fmt: skip
def test_what_cannot_be_proven_is_refused(
    house: House, called: dict[str, Any], path: str, query: dict[str, Any], status: int
) -> None:
    answer = house.ask("GET", f"ledger/{path}", **query)
    assert answer.status_code == status, answer.text
    assert answer.json()["hint"]


def test_the_command_line_exports_verifies_and_changes_the_key(
    house: House, called: dict[str, Any], tmp_path: Path
) -> None:
    where = ("--data", str(house.folder), "--port", str(house.port))
    done = lineshaft("ledger", "checkpoint", *where)
    assert done.returncode == 0 and parse_note(done.stdout).size > 1, done.stderr
    (tmp_path / "note").write_text(done.stdout)
    key = house.get("ledger/checkpoint")["key"]
    changed = lineshaft("ledger", "key", "--change", *where).stdout.strip()
    assert PublicKey.parse(key).name == PublicKey.parse(changed).name and key != changed
    file = tmp_path / "evidence.zip"
    size = str(parse_note(done.stdout).size)
    done = lineshaft("ledger", "export", str(file), "--fact", called["id"], "--since", size, *where)
    assert done.returncode == 0 and "python verify.py" in done.stdout, done.stderr
    done = lineshaft("ledger", "verify", str(file), "--key", key, "--since", str(tmp_path / "note"))
    assert (done.returncode, "nothing was rewritten" in done.stdout) == (0, True), done.stdout
    done = lineshaft("ledger", "verify", "--data", str(house.folder))
    assert (done.returncode, "ALL HOLDS" in done.stdout) == (0, True), done.stdout


def test_a_changed_database_is_found(house: House, called: dict[str, Any], tmp_path: Path) -> None:
    copy_database(house.folder / "records.sqlite", tmp_path / "records.sqlite")
    assert look(tmp_path / "records.sqlite", None).size > 1
    with closing(sqlite3.connect(tmp_path / "records.sqlite")) as copy, copy:
        copy.execute("UPDATE ledger_entries SET data = CAST(data || ' ' AS BLOB) WHERE number = 1")
    done = lineshaft("ledger", "verify", "--data", str(tmp_path), "--json")
    assert done.returncode == 1, done.stderr
    assert "entry 1 was changed" in json.loads(done.stdout)["trouble"]
