"""People: invited, signed in, throttled, turned out; tokens; what the audit tells, and what not."""

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError

from lineshaft.clock import now_us
from lineshaft.web import passwords as passwords_module
from lineshaft.web.passwords import Passwords
from tests.end_to_end.platform import until
from tests.web.conftest import House

MARK = {"X-Lineshaft": "1"}
PASSWORD = "a quiet morning in the mill"


def fresh() -> str:
    return f"p{secrets.token_hex(4)}"


def browser(house: House) -> httpx.Client:
    return httpx.Client(base_url=f"{house.url}/api/v1/", headers=MARK, timeout=30)


def ask(house: House, method: str, path: str, body: Any = None, **query: Any) -> Any:
    answer = house.ask(method, path, body, **query)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def invite(house: House, role: str, name: str = "") -> tuple[str, str]:
    """Let somebody in; return name and code."""
    name = name or fresh()
    made = ask(house, "POST", "people", {"name": name, "role": role})
    assert made["link"].startswith(f"{house.url}/#/invite/")
    return name, made["link"].rsplit("/", 1)[1]


@contextmanager
def person(house: House, role: str = "viewer", name: str = "") -> Iterator[httpx.Client]:
    """Hand out the browser of somebody who accepted an invitation."""
    name, code = invite(house, role, name)
    with browser(house) as client:
        answer = client.post("invitation", json={"code": code, "password": PASSWORD})
        assert answer.status_code == 204, answer.text
        client.headers["X-Name"] = name
        yield client
    house.ask("DELETE", f"people/{name}")


def name_of(client: httpx.Client) -> str:
    return client.headers["X-Name"]


def test_an_invitation_works_once_and_signs_in(house: House) -> None:
    name, code = invite(house, "operator")
    with browser(house) as client:
        look = client.post("invitation/look", json={"code": code})
        assert look.json() == {"name": name, "display_name": name, "language": None}
        taken = client.post("invitation", json={"code": code, "password": PASSWORD})
        assert taken.status_code == 204
        who = client.get("session").json()
        assert (who["user"], who["role"], who["by"]) == (name, "operator", "session")
        assert "notes.write" in who["rights"] and "signals.write" not in who["rights"]
    with browser(house) as client:
        again = client.post("invitation", json={"code": code, "password": PASSWORD})
        assert (again.status_code, again.json()["code"]) == (401, "invitation.code")
        assert client.get("session").status_code == 401
        signed_in = client.post("session", json={"name": name.upper(), "password": PASSWORD})
        assert signed_in.status_code == 204
        assert client.get("session").json()["user"] == name
    listed = {one["name"]: one for one in ask(house, "GET", "people")["people"]}
    assert (listed[name]["state"], listed[name]["invited_until"]) == ("active", None)


def test_a_second_invitation_ends_the_first_and_an_old_one_is_over(house: House) -> None:
    name, first = invite(house, "viewer")
    second = ask(house, "POST", f"people/{name}/invitation")
    assert 6.9 * 86_400e6 < second["expires"] - now_us() <= 7 * 86_400e6
    with browser(house) as client:
        body = {"code": first, "password": PASSWORD}
        assert client.post("invitation", json=body).status_code == 401
        house.change_records("UPDATE invitations SET expires = 1 WHERE account = ?", name)
        body = {"code": second["code"], "password": PASSWORD}
        assert client.post("invitation", json=body).status_code == 401


@pytest.mark.parametrize("password", ["short", "x" * 201, "aaaaaaaaaaaaaaaa", "THE NAME"])
def test_a_weak_password_is_refused_and_the_invitation_stays(house: House, password: str) -> None:
    name, code = invite(house, "viewer", f"person-{secrets.token_hex(4)}")
    password = name.upper() if password == "THE NAME" else password
    with browser(house) as client:
        bad = client.post("invitation", json={"code": code, "password": password})
        assert bad.status_code == 422 and "set-cookie" not in bad.headers
        good = client.post("invitation", json={"code": code, "password": PASSWORD})
        assert good.status_code == 204


@pytest.mark.parametrize("name", ["local", "nobody", "A", "x", "-a", "a b", "a" * 33, "ä1", "a\n"])
def test_some_names_are_none(house: House, name: str) -> None:
    answer = house.ask("POST", "people", {"name": name, "role": "viewer"})
    assert answer.status_code == 422, answer.text


def test_a_name_is_given_once_and_a_role_must_be_one(house: House) -> None:
    name, _ = invite(house, "viewer")
    assert house.ask("POST", "people", {"name": name, "role": "viewer"}).status_code == 409
    assert house.ask("POST", "people", {"name": fresh(), "role": "root"}).status_code == 422
    assert house.ask("PUT", f"people/{name}", {"role": "root"}).status_code == 422
    assert house.ask("PUT", f"people/{fresh()}", {"role": "viewer"}).status_code == 404


def test_who_is_disabled_is_out_at_once_and_back_when_enabled(house: House) -> None:
    with person(house, "engineer") as client:
        name = name_of(client)
        token = client.post("tokens", json={"name": "t"}).json()["token"]
        bearer = {"Authorization": f"Bearer {token}"}
        assert client.get("system").status_code == 200
        assert httpx.get(f"{house.url}/api/v1/system", headers=bearer).status_code == 200
        ask(house, "PUT", f"people/{name}", {"enabled": False})
        assert client.get("system").status_code == 401
        assert httpx.get(f"{house.url}/api/v1/system", headers=bearer).status_code == 401
        body = {"name": name, "password": PASSWORD}
        with browser(house) as other:
            assert other.post("session", json=body).status_code == 401
            ask(house, "PUT", f"people/{name}", {"enabled": True})
            assert other.post("session", json=body).status_code == 204
        assert client.get("system").status_code == 401


async def test_a_running_live_stream_ends_when_its_owner_is_disabled(house: House) -> None:
    with person(house) as client:
        cookie = dict(client.cookies)
        name = name_of(client)
        async with (
            httpx.AsyncClient(cookies=cookie, timeout=30) as mine,
            mine.stream("GET", f"{house.url}/api/v1/live") as stream,
        ):
            assert stream.status_code == 200
            pieces = stream.aiter_raw()
            await anext(pieces)
            await asyncio.to_thread(ask, house, "PUT", f"people/{name}", {"enabled": False})
            async with asyncio.timeout(5):
                async for _ in pieces:
                    pass
    logs = (house.folder / "logs").glob("web*")
    assert not any("Traceback" in log.read_text() for log in logs)


def test_a_changed_role_holds_at_once(house: House) -> None:
    with person(house, "viewer") as client:
        view = {"name": "v", "url": "#/trends"}
        assert client.post("views", json=view).status_code == 403
        ask(house, "PUT", f"people/{name_of(client)}", {"role": "operator"})
        assert client.post("views", json=view).status_code == 201
        ask(house, "PUT", f"people/{name_of(client)}", {"role": "viewer"})
        refused = client.post("views", json=view)
        assert refused.status_code == 403
        said = refused.json()
        assert "'views.write'" in said["message"] and "operator, engineer" in said["hint"]


def test_a_new_password_needs_the_old_one_and_ends_the_other_sessions(house: House) -> None:
    with person(house) as client, browser(house) as other:
        name, new = name_of(client), "another morning in the mill"
        assert other.post("session", json={"name": name, "password": PASSWORD}).status_code == 204
        wrong = client.put("session/password", json={"old": "not this one", "password": new})
        assert (wrong.status_code, wrong.json()["code"]) == (403, "password.old")
        right = client.put("session/password", json={"old": PASSWORD, "password": new})
        assert right.status_code == 204
        assert client.get("session").status_code == 200
        assert other.get("session").status_code == 401
        assert other.post("session", json={"name": name, "password": PASSWORD}).status_code == 401
        assert other.post("session", json={"name": name, "password": new}).status_code == 204


async def test_a_name_without_password_costs_as_much_as_one_with() -> None:
    passwords = Passwords()
    kept = await passwords.hash(PASSWORD)
    assert await passwords.matches(kept, PASSWORD) and not await passwords.matches(kept, "other")
    costs = [extract_parameters(one) for one in (kept, passwords_module._NOBODYS)]
    assert costs[0] == costs[1]
    assert not await passwords.matches(None, PASSWORD)
    with pytest.raises(VerifyMismatchError):  # it is compared in full, not refused for its form
        PasswordHasher().verify(passwords_module._NOBODYS, PASSWORD)
    dear = kept.replace("m=65536", "m=99999999")
    assert not await passwords.matches(dear, PASSWORD)


def test_ones_own_sessions_are_listed_and_ended(house: House) -> None:
    with person(house) as client, browser(house) as second, browser(house) as third:
        body = {"name": name_of(client), "password": PASSWORD}
        for other in (second, third):
            assert other.post("session", json=body).status_code == 204
        listed = client.get("sessions").json()["sessions"]
        assert len(listed) == 3 and [one["current"] for one in listed].count(True) == 1
        assert all(one["address"] == "127.0.0.1" and "httpx" in one["agent"] for one in listed)
        assert client.delete(f"sessions/{listed[0]['id']}").status_code == 204
        assert (second.get("session").status_code, third.get("session").status_code) == (200, 401)
        assert client.delete("sessions").status_code == 204
        assert second.get("session").status_code == 401
        assert client.get("session").status_code == 200
        with person(house) as stranger:
            mine = client.get("sessions").json()["sessions"][0]["id"]
            assert stranger.delete(f"sessions/{mine}").status_code == 404


def test_guessing_is_slowed_down_by_name_also_for_one_that_is_not_there(house: House) -> None:
    with person(house) as client:
        for name in (name_of(client), fresh()):
            with browser(house) as thief:
                said = []
                for _ in range(6):
                    bad = {"name": name, "password": "never this one"}
                    said.append(thief.post("session", json=bad))
                assert [one.status_code for one in said] == [401] * 5 + [429]
                assert len({one.text for one in said[:5]}) == 1
                assert 1 <= int(said[5].headers["retry-after"]) <= 2
                right = {"name": name, "password": PASSWORD}
                assert thief.post("session", json=right).status_code == 429
        with browser(house) as owner:
            right = {"name": name_of(client), "password": PASSWORD}
            until("the pause is over", lambda: owner.post("session", json=right).is_success, 10)


def test_a_token_may_what_it_was_given_and_no_more(house: House) -> None:
    with person(house, "operator") as client:
        made = client.post("tokens", json={"name": "reads"}).json()
        assert made["token"].startswith(f"ls_{made['id']}_")
        assert all(right.endswith(".read") for right in made["rights"])
        asked = ["notes.write", "views.write", "views.read"]
        writes = client.post("tokens", json={"name": "writes", "rights": asked, "days": 1}).json()
        assert writes["rights"] == sorted(asked)
        beyond = client.post("tokens", json={"name": "x", "rights": ["signals.write"]})
        assert (beyond.status_code, beyond.json()["code"]) == (403, "token.scope")
        unknown = client.post("tokens", json={"name": "x", "rights": ["all.of.it"]})
        assert unknown.status_code == 422
        too_long = client.post("tokens", json={"name": "x", "days": 366})
        assert too_long.status_code == 422
        view = {"name": "v", "url": "#/trends"}

        def by(text: str, method: str, path: str, body: Any = None) -> httpx.Response:
            headers = {"Authorization": f"Bearer {text}"}
            return httpx.request(method, f"{house.url}/api/v1/{path}", json=body, headers=headers)

        assert by(made["token"], "GET", "system").status_code == 200
        assert by(made["token"], "POST", "views", view).status_code == 403
        assert by(writes["token"], "POST", "views", view).status_code == 201
        assert by(writes["token"], "GET", "system").status_code == 403
        assert by(writes["token"], "GET", "session").json()["by"] == "token"
        own = [("POST", "tokens", {"name": "y"}), ("DELETE", "sessions", None),
               ("PUT", "session/password", {"old": PASSWORD, "password": PASSWORD})]  # fmt: skip
        for method, path, body in own:
            assert by(writes["token"], method, path, body).status_code == 403
        ask(house, "PUT", f"people/{name_of(client)}", {"role": "viewer"})
        assert by(writes["token"], "POST", "views", view).status_code == 403
        used = {one["id"]: one["last_seen"] for one in client.get("tokens").json()["tokens"]}
        assert used[made["id"]] is not None
        house.change_records("UPDATE tokens SET expires = 1 WHERE id = ?", made["id"])
        until("it is over", lambda: by(made["token"], "GET", "system").status_code == 401, 3)
        assert client.delete(f"tokens/{writes['id']}").status_code == 204
        assert by(writes["token"], "GET", "views").status_code == 401
        swapped = made["token"][:16] + writes["token"][16:]
        assert by(swapped, "GET", "system").status_code == 401


def test_a_token_is_its_owners_and_an_administrators(house: House) -> None:
    with person(house) as client, person(house) as stranger:
        made = client.post("tokens", json={"name": "mine"}).json()
        assert stranger.delete(f"tokens/{made['id']}").status_code == 404
        assert stranger.get(f"people/{name_of(client)}/tokens").status_code == 403
        theirs = ask(house, "GET", f"people/{name_of(client)}/tokens")["tokens"]
        assert [one["id"] for one in theirs] == [made["id"]] and "token" not in theirs[0]
        ask(house, "DELETE", f"people/{name_of(client)}/tokens/{made['id']}")
        assert client.get("tokens").json()["tokens"] == []


def entries(house: House, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = ask(house, "GET", "audit", **query)["entries"]
    return found


def test_the_audit_tells_who_changed_what_and_who_was_refused(house: House) -> None:
    began = now_us()
    with person(house, "operator") as client:
        name = name_of(client)
        assert client.post("views", json={"name": "v", "url": "#/trends"}).status_code == 201
        for _ in range(3):
            assert client.delete("people/somebody").status_code == 403
        assert client.get("system").status_code == 200

        def told() -> bool:
            return len(entries(house, user=name, **{"from": began})) >= 3

        until("the audit has it", told, 20)
        found = entries(house, user=name, **{"from": began})
        seen = [(e["kind"], e["operation"], e["status"]) for e in reversed(found)]
        assert seen[:3] == [
            ("audit.called", "accept_invitation", 204), ("audit.called", "add_view", 201),
            ("audit.refused", "remove_person", 403),
        ]  # fmt: skip
        assert found[-2]["by"] == f"session:{client.get('sessions').json()['sessions'][0]['id']}"
        refusal = next(e for e in found if e["kind"] == "audit.refused")
        assert (refusal["subject"], refusal["code"]) == ("/api/v1/people/somebody", "session.right")
        assert (refusal["address"], refusal["count"]) == ("127.0.0.1", 1)
        assert client.get("audit").status_code == 403
        assert client.get("facts", params={"kind": "audit.called"}).status_code == 403
        everything = client.get("facts", params={"limit": 5000}).json()["facts"]
        assert not [one for one in everything if one["kind"].startswith("audit.")]
        query = "SELECT count(*) AS n FROM facts WHERE kind LIKE 'audit.%'"
        assert client.post("sql", json={"query": query}).json()["rows"] == [{"n": 0}]
    by_key = [e for e in entries(house, user="local", **{"from": began}) if e["by"] == "key"]
    assert "add_person" in {e["operation"] for e in by_key}


def test_no_secret_is_told_anywhere(house: House) -> None:
    canary = f"canary {secrets.token_hex(12)} word"
    name, code = invite(house, "viewer")
    with browser(house) as client:
        assert client.post("session", json={"name": name, "password": canary}).status_code == 401
        assert client.post("session", json={"name": canary, "password": 7}).status_code == 422
        body = {"code": code, "password": canary}
        assert client.post("invitation", json=body).status_code == 204
        token = client.post("tokens", json={"name": "t"}).json()["token"]
        bearer = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"{house.url}/api/v1/system", headers=bearer).status_code == 200
        cookie = client.cookies["lineshaft_session"]
        until("the audit has it", lambda: entries(house, user=name), 20)
    kept = [*house.folder.glob("records.sqlite*"), *(house.folder / "logs").iterdir()]
    kept += [path for path in (house.folder / "bus").rglob("*") if path.is_file()]
    secret = [canary, code, token.rsplit("_", 1)[1], cookie, house.key]
    for path in kept:
        content = path.read_bytes()
        assert [s for s in secret if s.encode() in content] == [], path


@pytest.mark.parametrize("shown", ["\u202eadmin", "a\0b", "a\x1b[31m", " "])
def test_a_name_that_misleads_is_refused(house: House, shown: str) -> None:
    name = fresh()
    refused = house.ask("POST", "people", {"name": name, "role": "viewer", "display_name": shown})
    assert refused.status_code == (201 if shown == " " else 422)
    if shown != " ":
        ask(house, "POST", "people", {"name": name, "role": "viewer"})
    changed = house.ask("PUT", f"people/{name}", {"display_name": shown})
    assert (changed.status_code, changed.json()["code"]) == (422, "desk.text")
    assert {one["name"]: one for one in ask(house, "GET", "people")["people"]}[name][
        "display_name"
    ] == name
