"""The gate: nobody gets in unsigned, no other page can act for a person, answers are harmless."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import inspect

from lineshaft.app import describe_api
from lineshaft.core.errors import Refused
from lineshaft.records import metadata, open_records
from lineshaft.web import sessions as sessions_module
from lineshaft.web.accounts import hash_secret
from lineshaft.web.gate import OPEN
from lineshaft.web.rights import BUILT_IN
from lineshaft.web.sessions import Sessions
from lineshaft.web.tokens import Tokens
from tests.end_to_end.platform import until
from tests.web.conftest import House

OPERATIONS = sorted(
    (method.upper(), re.sub(r"\{.*?\}", "x", path))
    for path, operations in describe_api()["paths"].items()
    for method in operations
)
HEADERS = {
    "content-security-policy": "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=()",
}


def is_spoken(answer: httpx.Response, status: int, code: str = "") -> None:
    """Check an error: its status, and code, message and hint in the one form of all doors."""
    assert answer.status_code == status, answer.text
    content = answer.json()
    assert set(content) == {"code", "message", "hint"}
    assert content["message"] and re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", content["code"])
    assert code in ("", content["code"])


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_no_operation_answers_without_a_session(house: House, method: str, path: str) -> None:
    if (method, path) in OPEN:
        return
    answer = httpx.request(method, house.url + path, headers={"X-Lineshaft": "1"})
    is_spoken(answer, 401, "gate.session")
    assert "lineshaft link" in answer.json()["hint"]


def test_paths_that_do_not_exist_tell_nothing_without_a_session(house: House) -> None:
    for path in ("/api/v1/openapi.json", "/api/v1/none", "/api/", "/api/v2/system"):
        is_spoken(httpx.get(house.url + path), 401, "gate.session")


def test_the_page_itself_loads_without_a_session(house: House) -> None:
    answer = httpx.get(house.url + "/")
    assert answer.status_code == 200 and "text/html" in answer.headers["content-type"]


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "", "0.0.0.0"]
)
def test_another_host_name_is_turned_away(house: House, host: str) -> None:
    for path in ("/", "/api/v1/system"):
        headers = {"Host": host, "Authorization": f"Bearer {house.key}"}
        is_spoken(httpx.get(house.url + path, headers=headers), 421, "gate.host")


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1", "[::1]:8400"])
def test_the_names_of_this_machine_are_let_in(house: House, host: str) -> None:
    headers = {"Host": host, "Authorization": f"Bearer {house.key}"}
    assert httpx.get(house.url + "/api/v1/system", headers=headers).status_code == 200


@pytest.mark.parametrize("bearer", ["wrong", "ключ", "x" * 5000])
def test_a_wrong_key_is_turned_away(house: House, bearer: str) -> None:
    headers = {"Authorization": f"Bearer {bearer}".encode()}
    is_spoken(httpx.get(house.url + "/api/v1/system", headers=headers), 401, "gate.session")


def test_a_wrong_key_is_not_made_good_by_a_cookie(house: House) -> None:
    with house.sign_in() as client:
        answer = client.get("system", headers={"Authorization": "Bearer wrong"})
        is_spoken(answer, 401, "gate.session")


@pytest.mark.parametrize("cookie", ["x", "x" * 4000, "", '"', "é"])
def test_a_wrong_cookie_is_turned_away(house: House, cookie: str) -> None:
    headers = {"Cookie": f"lineshaft_session={cookie}".encode()}
    is_spoken(httpx.get(house.url + "/api/v1/system", headers=headers), 401, "gate.session")


def test_a_code_signs_in_once(house: House) -> None:
    code = house.post("session/code", {})["code"]
    url, mark = f"{house.url}/api/v1/session", {"X-Lineshaft": "1"}
    assert httpx.post(url, json={"code": code}, headers=mark).status_code == 204
    again = httpx.post(url, json={"code": code}, headers=mark)
    is_spoken(again, 401, "session.code")
    assert "lineshaft link" in again.json()["hint"] and "set-cookie" not in again.headers
    is_spoken(httpx.post(url, json={"code": "never-made"}, headers=mark), 401, "session.code")


def test_the_cookie_is_for_this_site_alone_and_not_for_scripts(house: House) -> None:
    code = house.post("session/code", {})["code"]
    answer = httpx.post(
        f"{house.url}/api/v1/session", json={"code": code}, headers={"X-Lineshaft": "1"}
    )
    name, _, rest = answer.headers["set-cookie"].partition("=")
    token, *flags = (part.strip().lower() for part in rest.split(";"))
    assert name == "lineshaft_session" and len(token) > 40
    assert {"httponly", "samesite=strict", "path=/"} <= set(flags)
    age = int(next(f for f in flags if f.startswith("max-age=")).removeprefix("max-age="))
    assert 29 * 86_400 < age <= 30 * 86_400


def test_the_database_holds_no_token(house: House) -> None:
    with house.sign_in() as client:
        token = client.cookies["lineshaft_session"].encode()
        for file in house.folder.glob("records.sqlite*"):
            assert token not in file.read_bytes()
        for log in (house.folder / "logs").iterdir():
            assert token not in log.read_bytes() and house.key.encode() not in log.read_bytes()


def test_keys_and_records_are_their_owners_alone(house: House) -> None:
    for path in (house.folder, *house.folder.glob("keys/*"), *house.folder.glob("run/*.json")):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize(("method", "path"), [o for o in OPERATIONS if o[0] not in {"GET", "HEAD"}])
def test_a_changing_call_needs_the_header_that_no_other_page_can_send(
    house: House, method: str, path: str
) -> None:
    with house.sign_in() as client:
        answer = client.request(method, house.url + path, json={})
        is_spoken(answer, 403, "gate.header")
        assert "X-Lineshaft" in answer.json()["hint"]


def test_with_the_header_a_changing_call_passes(house: House) -> None:
    with house.sign_in() as client:
        mark = {"X-Lineshaft": "1"}
        assert client.get("session").json()["user"] == "local"
        answer = client.post("opcua/trust", json={"thumbprint": "0" * 64}, headers=mark)
        is_spoken(answer, 404)
        assert client.delete("session", headers=mark).status_code == 204
        is_spoken(client.get("session"), 401, "gate.session")


def test_signing_out_ends_the_session_also_for_who_kept_the_cookie(house: House) -> None:
    with house.sign_in() as client:
        cookie = {"lineshaft_session": client.cookies["lineshaft_session"]}
        client.delete("session", headers={"X-Lineshaft": "1"})
    with httpx.Client(cookies=cookie) as other:
        is_spoken(other.get(f"{house.url}/api/v1/session"), 401, "gate.session")


def test_an_old_session_is_over(house: House) -> None:
    with house.sign_in() as client:
        assert client.get("session").status_code == 200
        token_hash = hash_secret(client.cookies["lineshaft_session"])
        house.change_records("UPDATE sessions SET expires = 1 WHERE token_hash = ?", token_hash)
        until("it is over", lambda: client.get("session").status_code == 401, 3)
        is_spoken(client.get("session"), 401, "gate.session")


def test_only_the_folders_key_makes_codes(house: House) -> None:
    with house.sign_in() as client:
        answer = client.post("session/code", headers={"X-Lineshaft": "1"})
        is_spoken(answer, 403, "session.right")


def test_every_answer_is_harmless_errors_too(house: House) -> None:
    key = {"Authorization": f"Bearer {house.key}"}
    ask = [
        ("GET", "/", {}, 200),
        ("GET", "/none.js", {}, 404),
        ("GET", "/api/v1/system", key, 200),
        ("GET", "/api/v1/system", {}, 401),
        ("GET", "/api/v1/system", {"Host": "evil.example"}, 421),
        ("POST", "/api/v1/session", {}, 403),
        ("GET", "/api/v1/none", key, 404),
        ("PATCH", "/api/v1/system", key, 405),
        ("GET", "/api/v1/last?sid=x", key, 400),
        ("GET", "/api/v1/last", key, 422),
        ("POST", "/api/v1/opcua/probe", key, 422),
    ]
    for method, path, headers, status in ask:
        answer = httpx.request(method, house.url + path, headers=headers)
        assert answer.status_code == status, (method, path, answer.text)
        for name, part in HEADERS.items():
            assert part in answer.headers[name], (method, path, name)
        assert "access-control-allow-origin" not in answer.headers
        if status >= 400:
            is_spoken(answer, status)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"code": 1}', b"\xff", b'{"code": null}'])
def test_a_body_that_is_no_form_is_refused_in_words(house: House, body: bytes) -> None:
    headers = {"X-Lineshaft": "1", "Content-Type": "application/json"}
    answer = httpx.post(f"{house.url}/api/v1/session", content=body, headers=headers)
    is_spoken(answer, 400 if body == b"\xff" else 422)


@pytest.mark.parametrize(("path", "status"), [("/api/v1/session", 413), ("/api/v1/notes", 401)])
def test_a_refusal_is_readable_by_who_still_sends(house: House, path: str, status: int) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(4):
            yield b"x" * 50_000
            time.sleep(0.1)

    sent = {"X-Lineshaft": "1", "Content-Length": "200000", "Content-Type": "application/json"}
    for _ in range(3):
        answer = httpx.post(house.url + path, content=body(), headers=sent)
        is_spoken(answer, status)


def test_sessions_survive_a_restart_of_the_web_process(house: House) -> None:
    with house.sign_in() as client:
        until_session = client.get("session").json()["expires"]
        pid = house.family()["web"]
        os.kill(pid, signal.SIGKILL)
        until("another web process runs", lambda: house.family().get("web", pid) != pid)
        until("the doors are open", lambda: house.ask("GET", "system").status_code == 200)
        after = client.get("session").json()
        assert (after["user"], after["expires"]) == (BUILT_IN, until_session)


class Clock:
    def __init__(self) -> None:
        self.now = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(sessions_module, "now_us", clock)
    return clock


def open_sessions(folder: Path) -> Sessions:
    engine = open_records(folder / "records.sqlite")
    metadata.create_all(engine)
    assert inspect(engine).has_table("sessions")
    return Sessions(engine, "the-key", Tokens(engine))


def sign_in(sessions: Sessions, code: str) -> str:
    sessions.spend_code(code)
    return sessions.open(BUILT_IN)[0]


def test_a_code_lives_ten_minutes(tmp_path: Path, clock: Clock) -> None:
    sessions = open_sessions(tmp_path)
    fresh, old = sessions.make_code(), sessions.make_code()
    clock.now += 599_000_000
    found = sessions.find(sign_in(sessions, fresh))
    assert found is not None and (found.user, found.role) == (BUILT_IN, "administrator")
    clock.now += 2_000_000
    with pytest.raises(Refused, match="used or is too old"):
        sign_in(sessions, old)


def test_a_session_in_use_lives_thirty_days(tmp_path: Path, clock: Clock) -> None:
    sessions = open_sessions(tmp_path)
    token, began = sign_in(sessions, sessions.make_code()), clock.now
    while clock.now < began + 29 * 86_400_000_000:
        clock.now += 11 * 3_600_000_000
        assert sessions.find(token) is not None
    clock.now = began + 30 * 86_400_000_000 - 11 * 3_600_000_000
    assert sessions.find(token) is not None
    clock.now = began + 30 * 86_400_000_000 + 1
    assert sessions.find(token) is None


def test_a_session_that_nobody_uses_lives_twelve_hours(tmp_path: Path, clock: Clock) -> None:
    sessions = open_sessions(tmp_path)
    token, other = (sign_in(sessions, sessions.make_code()) for _ in range(2))
    clock.now += 12 * 3_600_000_000 - 1
    assert sessions.find(token) is not None
    clock.now += 2
    assert sessions.find(other) is None
    assert sessions.find(token) is not None


def test_codes_are_not_made_without_end(tmp_path: Path, clock: Clock) -> None:
    sessions = open_sessions(tmp_path)
    for _ in range(100):
        sessions.make_code()
    with pytest.raises(Refused, match="too many"):
        sessions.make_code()
    clock.now += 600_000_001
    assert sessions.make_code()
