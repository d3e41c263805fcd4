"""Edits of signals, notes and saved views through the doors of a running platform."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.errors import Refused
from lineshaft.records import metadata, open_records
from lineshaft.web.desk import Desk
from tests.end_to_end.platform import until
from tests.web.conftest import House, made

CHANGING = {"X-Lineshaft": "1"}


@pytest.fixture
def eva(house: House) -> Iterator[httpx.Client]:
    """Somebody who signed in by a link."""
    with house.sign_in() as client:
        client.headers.update(CHANGING)
        yield client


def listed(house: House, sid: int) -> dict[str, object]:
    return next(s for s in house.signals().values() if s["sid"] == sid)


def test_an_edit_is_kept_told_and_refused_where_stale(house: House, eva: httpx.Client) -> None:
    (sid,) = house.register(made("desk-edit"))
    change = {"revision": 1, "name": "Druck", "unit": "kPa", "limit_high": 9.5}
    answer = eva.put(f"signals/{sid}", json=change)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["revision"], answer.json()["declared"]["unit"]) == (2, "")
    assert listed(house, sid) == answer.json()
    stale = eva.put(f"signals/{sid}", json=change)
    assert (stale.status_code, stale.json()["code"]) == (409, "signal.stale")
    unit = eva.put(f"signals/{sid}", json={"revision": 2, "unit": "bar"})
    assert (unit.status_code, unit.json()["code"]) == (409, "signal.unit")
    assert eva.put("signals/999999", json={"revision": 1}).status_code == 404
    assert eva.put(f"signals/{sid}", json={"revision": 2, "kind": "int"}).status_code == 422
    assert eva.put(f"signals/{sid}", json={"revision": 2, "name": None}).status_code == 422
    facts = until("the edit is told", lambda: [
        fact for fact in house.facts("signal.changed") if fact["subject"] == str(sid)
    ])  # fmt: skip
    assert len(facts) == 1
    body = facts[0]["body"]
    assert body["before"] == {"name": "desk-edit", "unit": "", "limit_high": None}
    assert body["after"] == {"name": "Druck", "unit": "kPa", "limit_high": 9.5}
    house.register(made("desk-edit"))
    assert listed(house, sid)["name"] == "Druck"


def test_a_sheet_goes_out_and_comes_back(house: House, eva: httpx.Client) -> None:
    (sid,) = house.register(made("desk-sheet", source="sheets"))
    sheet = eva.get("signals.csv", params={"source": "sheets"})
    assert sheet.headers["content-type"].startswith("text/csv")
    body = sheet.text.replace(",desk-sheet,", ",=1+1,")
    seen = eva.post("signals/import", params={"dry_run": True}, content=body).json()
    assert (seen["changed"], seen["bad_count"], seen["applied"]) == (1, 0, False)
    assert seen["changes"][0]["after"] == {"name": "=1+1"}
    done = eva.post("signals/import", params={"token": seen["token"]}, content=body)
    assert done.json()["applied"]
    assert listed(house, sid)["name"] == "=1+1"
    assert ",'=1+1," in eva.get("signals.csv", params={"source": "sheets"}).text
    again = eva.post("signals/import", params={"token": seen["token"]}, content=body)
    assert (again.status_code, again.json()["code"]) == (409, "sheet.stale")
    for query in ({}, {"dry_run": True, "token": seen["token"]}):
        assert eva.post("signals/import", params=query, content=body).status_code == 422


def test_a_sheet_without_end_is_cut_off(eva: httpx.Client) -> None:
    def endless() -> Iterator[bytes]:
        yield b"sid,name\n"
        for _ in range(1000):
            yield b"1,x\n" * 25_000

    try:
        answer = eva.post("signals/import", params={"dry_run": True}, content=endless())
    except httpx.WriteError:
        return  # it hung up before everything was sent, which is an answer too
    assert (answer.status_code, answer.json()["code"]) == (413, "sheet.size")


@settings(max_examples=60)
@given(body=st.one_of(st.binary(max_size=300), st.text(max_size=300).map(
    lambda text: b"sid,name,high\n" + text.encode("utf-8", "surrogatepass"))))  # fmt: skip
def test_no_sheet_breaks_the_door(house: House, body: bytes) -> None:
    answer = httpx.post(
        f"{house.url}/api/v1/signals/import?dry_run=true", content=body, timeout=30,
        headers={"Authorization": f"Bearer {house.key}"},
    )  # fmt: skip
    assert answer.status_code < 500, answer.text
    assert answer.status_code == 200 or set(answer.json()) == {"code", "message", "hint"}


def test_a_note_is_written_found_edited_and_removed(house: House, eva: httpx.Client) -> None:
    a, b = house.register(made("note-a"), made("note-b"))
    draft = {"sids": [a, b], "from": 1_000, "to": 2_000, "text": "  Pumpe gewechselt\n泵已更换 "}
    note = eva.post("notes", json=draft)
    assert note.status_code == 201, note.text
    note = note.json()
    assert (note["text"], note["sids"], note["edited"]) == (draft["text"].strip(), [a, b], None)

    def found(**query: int) -> list[int]:
        return [n["id"] for n in eva.get("notes", params=query).json()["notes"]]

    assert found(sid=b) == found(sid=a, **{"from": 2_000, "to": 3_000}) == [note["id"]]
    assert found(sid=a, **{"from": 2_001, "to": 3_000}) == found(sid=a, to=1_000) == []
    changed = eva.put(f"notes/{note['id']}", json={"text": "anew", "sids": [b]}).json()
    assert (changed["text"], changed["sids"], changed["from"]) == ("anew", [b], 1_000)
    assert changed["edited"] >= changed["created"]
    assert found(sid=a) == []
    assert eva.delete(f"notes/{note['id']}").status_code == 204
    assert eva.delete(f"notes/{note['id']}").status_code == 404


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    engine = open_records(tmp_path / "records.db")
    metadata.create_all(engine)
    return Desk(engine, lambda sids: {sid for sid in sids if sid > 10})


def test_a_note_is_its_authors(desk: Desk) -> None:
    note = desk.add_note("eva", {"sids": [1], "start": 1, "stop": 2, "text": "mine"})
    for change in (lambda: desk.change_note(note["id"], "adam", {"text": "no"}),
                   lambda: desk.remove_note(note["id"], "adam")):  # fmt: skip
        with pytest.raises(Refused) as refused:
            change()
        assert (refused.value.status, refused.value.code) == (403, "note.right")
    assert desk.change_note(note["id"], "eva", {"text": "still mine"})["author"] == "eva"
    with pytest.raises(Refused, match="before it begins"):
        desk.change_note(note["id"], "eva", {"start": 3})
    with pytest.raises(Refused, match="no signal 11"):
        desk.change_note(note["id"], "eva", {"sids": [11]})
    desk.remove_note(note["id"], None)  # an administrator
    assert desk.notes([1], 0, 9) == []


def test_a_view_is_its_owners(desk: Desk) -> None:
    hers = desk.add_view("eva", {"name": "V", "url": "#/", "shared": False})
    his = desk.add_view("adam", {"name": "V", "url": "#/", "shared": True})
    assert [v["id"] for v in desk.views("eva")] == [hers["id"], his["id"]]
    assert [v["id"] for v in desk.views("adam")] == [his["id"]]
    with pytest.raises(Refused, match="no view"):
        desk.change_view(hers["id"], "adam", {"name": "X"})  # he does not even know of it
    with pytest.raises(Refused, match="adam's"):
        desk.remove_view(his["id"], "eva")
    desk.remove_view(his["id"], None)
    assert desk.change_view(hers["id"], "eva", {})["name"] == "V"


@pytest.mark.parametrize(
    "wrong",
    [{"sids": []}, {"sids": [987_654]}, {"sids": [0]}, {"from": 3}, {"text": " "}, {"to": 2**62},
     {"text": "x" * 2001}, {"text": "a\0b"}, {"author": "somebody"}],
)  # fmt: skip
def test_a_note_out_of_form_is_refused(
    house: House, eva: httpx.Client, wrong: dict[str, object]
) -> None:
    (sid,) = house.register(made("note-d"))
    draft = {"sids": [sid], "from": 1, "to": 2, "text": "x"} | wrong
    answer = eva.post("notes", json=draft)
    assert answer.status_code == 422, answer.text
    assert eva.get("notes", params={"sid": sid}).json()["notes"] == []


def test_a_view_is_kept_shared_and_removed(eva: httpx.Client) -> None:
    url = "#/trends?s=3,4&from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00Z&vs=1d"
    view = eva.post("views", json={"name": "Reactor", "url": url}).json()
    assert (view["url"], view["shared"]) == (url, False)
    assert eva.post("views", json={"name": "Reactor", "url": "#/"}).status_code == 409
    other = eva.post("views", json={"name": "Other", "url": "#/"}).json()
    assert eva.put(f"views/{other['id']}", json={"name": "Reactor"}).status_code == 409
    assert eva.put(f"views/{view['id']}", json={"shared": True}).json()["shared"]
    listed = [v["name"] for v in eva.get("views").json()["views"]]
    assert listed == ["Other", "Reactor"]
    for one in (view, other):
        assert eva.delete(f"views/{one['id']}").status_code == 204


@pytest.mark.parametrize(
    "url",
    ["https://example.org/", "//example.org", "javascript:alert(1)", "#/a b", "#/sign-in/CODE",
     "/#/trends", "#/trends\n", "#/<script>", "#", "#/" + "x" * 2000],
)  # fmt: skip
def test_no_view_leads_out_of_the_house(eva: httpx.Client, url: str) -> None:
    assert eva.post("views", json={"name": "x", "url": url}).status_code == 422
