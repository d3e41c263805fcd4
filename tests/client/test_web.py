"""The door: what is tried again and when, what is refused before anything is sent, resuming."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lineshaft
from lineshaft.client.live import Feed, Parser
from lineshaft.client.plant import Plant
from lineshaft.client.scripts import Target
from lineshaft.client.times import moment_us, time_range
from lineshaft.client.web import Door, Request
from lineshaft.core.errors import Broken, Refused

TOKEN = "ls_secret"
LISTED = {"signals": [{name: None for name in (
    "name", "kind", "unit", "low", "high", "limit_low", "limit_high", "period_ms", "source",
    "writable", "decimals", "description",
)} | {"path": "a/b/c/d/m/x", "sid": 7}]}  # fmt: skip


class Scripted(BaseHTTPRequestHandler):
    """Answers what the server's list says, one after the other; keeps what was asked."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        self.server.asked.append((self.path, dict(self.headers)))
        status, content = self.server.answers.pop(0) if self.server.answers else (200, b"{}")
        if status is None:
            self.close_connection = True
            self.connection.close()
            return
        self.send_response(status)
        if status != 200 or not content.startswith(b"event"):
            self.send_header("Content-Length", str(len(content)))
        else:
            self.close_connection = True
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def scripted(*answers: tuple[int | None, bytes]) -> Iterator[Any]:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Scripted)
    server.answers, server.asked = list(answers), []
    server.url = f"http://127.0.0.1:{server.server_address[1]}/base/"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def said(code: str) -> bytes:
    return json.dumps({"code": code, "message": "it is so", "hint": "do that"}).encode()


def test_a_read_is_tried_again_after_pauses_that_double() -> None:
    pauses: list[float] = []
    with scripted((503, said("bus.away")), (None, b""), (502, b"<html>"), (200, b"{}")) as server:
        door = Door(server.url, TOKEN, pause=pauses.append)
        assert door.send(Request("system")).json() == {}
        door.close()
    # A kept connection that the other side closed meanwhile costs no pause.
    assert pauses == [0.2, 0.4] and len(server.asked) == 4
    path, headers = server.asked[-1]
    assert path == "/base/api/v1/system" and headers["Authorization"] == f"Bearer {TOKEN}"


def test_it_gives_up_with_the_last_error_and_never_repeats_a_refusal() -> None:
    pauses: list[float] = []
    with scripted((503, said("a")), (503, said("b")), (403, said("c"))) as server:
        door = Door(server.url, TOKEN, tries=2, pause=pauses.append)
        with pytest.raises(Broken) as broken:
            door.send(Request("system"))
        assert (broken.value.code, broken.value.hint) == ("b", "do that")
        with pytest.raises(Refused) as refused:
            door.send(Request("system"))
        assert (refused.value.code, refused.value.status) == ("c", 403)
        door.close()
    assert pauses == [0.2] and len(server.asked) == 3


def test_nobody_there_is_said_in_a_sentence() -> None:
    with scripted() as server:
        url = server.url
    with pytest.raises(Broken, match="no platform answers at"):
        Door(url, TOKEN, tries=2, pause=lambda _: None).send(Request("system"))


@pytest.mark.parametrize(
    ("url", "token", "code"),
    [("ftp://x", TOKEN, "client.url"), ("http://a:b@x", TOKEN, "client.url"),
     ("http://plant.example", TOKEN, "client.plain"), ("http://localhost:1", "", "client.token"),
     ("http://localhost:1", "a\r\nb", "client.token"), ("plant", TOKEN, "client.url")],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_is_sent(
    url: str, token: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LINESHAFT_TOKEN", raising=False)
    with pytest.raises(Refused) as caught:
        lineshaft.connect(url, token)
    assert caught.value.code == code and (not token or token not in str(caught.value))


def test_the_token_stands_in_no_text(tmp_path: Any) -> None:
    plant = lineshaft.connect("https://plant.example", TOKEN)
    assert TOKEN not in repr(plant) + repr(plant._door)
    with pytest.raises(Refused, match="holds no certificates"):
        lineshaft.connect("https://plant.example", TOKEN, verify=tmp_path / "none.pem")


def event(number: int, v: float) -> bytes:
    content = {"sid": [7], "ts": [number], "v": [v], "s": [None], "q": [0], "seq": number}
    return b"event: values\nid: %d\ndata: %s\n\n" % (number, json.dumps(content).encode())


def test_a_broken_stream_goes_on_where_it_stopped() -> None:
    answers = [(200, event(3, 1.5) + b": beat\n\n"), (503, said("x")), (200, event(9, 2.5)),
               (401, said("gate.session"))]  # fmt: skip
    told: list[tuple[str, int, float | None]] = []
    with scripted(*answers) as server:
        feed = Feed(Door(server.url, TOKEN), Target({7: "a/b/c/d/m/x"}), tries=5)
        with pytest.raises(Refused):
            told.extend((v.path, v.ts, v.value) for v in feed)
    assert told == [("a/b/c/d/m/x", 3, 1.5), ("a/b/c/d/m/x", 9, 2.5)]
    assert [headers.get("Last-Event-ID") for _, headers in server.asked] == [None, "3", "3", "9"]


def test_signals_are_listed_once_in_half_a_minute_and_anew_when_unknown() -> None:
    rows = json.dumps({"sid": [], "ts": [], "v": [], "s": [], "q": [], "seq": []}).encode()
    listed = json.dumps(LISTED).encode()
    with scripted((200, listed), (200, rows), (200, rows), (200, listed)) as server:
        plant = Plant(Door(server.url, TOKEN))
        plant.last("…/m/x")
        plant.last("a/b/c/d/m/x")
        with pytest.raises(Refused, match="there is no signal"):
            plant.last("…/m/y")
        plant.close()
    assert [path.split("/")[4].split("?")[0] for path, _ in server.asked] == [
        "signals", "last", "last", "signals",
    ]  # fmt: skip


def test_a_time_without_zone_is_refused() -> None:
    for naive in (datetime(2026, 1, 1), "2026-01-01", "2026-01-01T00:00"):
        with pytest.raises(Refused, match="has no time zone"):
            moment_us(naive)
    for wrong in ("soon", True, 1.5, None):
        with pytest.raises(Refused):
            moment_us(wrong)  # type: ignore[arg-type]
    assert time_range(None, None, "8h", 10**15) == {"from": 10**15 - 28_800_000_000}
    assert time_range(None, 50_000_000, timedelta(seconds=20), 0) == {
        "from": 30_000_000, "to": 50_000_000,
    }  # fmt: skip
    with pytest.raises(Refused, match="both"):
        time_range(1, None, "8h", 9)
    for wrong in ("8", "h", "-1h", "0s", "8 hours", "1e3s"):
        with pytest.raises(Refused, match="is no duration"):
            time_range(None, None, wrong, 9)


@given(st.datetimes(timezones=st.just(UTC)))
def test_every_moment_is_exact_to_the_microsecond(when: datetime) -> None:
    back = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment_us(when))
    assert back == when == datetime.fromisoformat(when.isoformat())
    assert moment_us(when.isoformat()) == moment_us(when)


@given(st.lists(st.binary(max_size=30)))
def test_no_line_breaks_the_parser(lines: list[bytes]) -> None:
    parser = Parser()
    for line in lines:
        try:
            parser.take(line.replace(b"\n", b""))
        except ValueError:
            continue  # data that is no JSON: the feed begins anew
