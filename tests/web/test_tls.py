"""TLS: beyond loopback always, by a CA of our own or given files; trusted by who installed it.

The platform listens on this machine's own address where it has one, else on 127.0.0.2, which it
takes for an address beyond loopback as well.
"""

import asyncio
import datetime
import json
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.bus.server import free_port
from lineshaft.clock import now_us
from lineshaft.core.errors import Refused
from lineshaft.settings import Http, load
from lineshaft.web import certificates, listening
from lineshaft.web.certificates import Pair, check_pair, ensure_pair
from lineshaft.web.listening import Doors
from tests.end_to_end.platform import Platform, lineshaft, running, until

NAME = "plant.example"
MARK = {"X-Lineshaft": "1"}


def own_address() -> str:
    found = [
        address.address
        for listed in psutil.net_if_addrs().values()
        for address in listed
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    ]
    return found[0] if found else "127.0.0.2"


ADDRESS = own_address()


class Outside(Platform):
    """A platform beyond loopback, asked as a client that installed its CA."""

    @property
    def url(self) -> str:
        return f"https://{ADDRESS}:{self.port}"

    @property
    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.folder / "keys" / "ca.crt")

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> httpx.Response:
        with httpx.Client(verify=self.trust, timeout=60) as client:
            return client.request(
                method, f"https://127.0.0.1:{self.port}/api/v1/{path}", json=body, params=query,
                headers={"Authorization": f"Bearer {self.key}"},
            )  # fmt: skip

    def cli(self, *arguments: str) -> Any:
        return lineshaft(
            *arguments, "--data", str(self.folder), "--port", str(self.port), **ENVIRON
        )


ENVIRON = {"LINESHAFT__HTTP__HOST": ADDRESS, "LINESHAFT__HTTP__NAMES": NAME}


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    folder = tmp_path_factory.mktemp("outside") / "data"
    with running(folder, verb="up", environ=ENVIRON, kind=Outside) as platform:
        assert isinstance(platform, Outside)
        yield platform


def test_a_colleague_comes_in_from_another_machine(outside: Outside) -> None:
    added = outside.cli("people", "add", "anna", "--role", "operator")
    assert added.returncode == 0, added.stderr
    base, code = added.stdout.strip().split("/#/invite/")
    assert base == f"https://{NAME}:{outside.port}"
    with httpx.Client(verify=outside.trust, base_url=outside.url, headers=MARK) as client:
        answer = client.post(
            "/api/v1/invitation", json={"code": code, "password": "the mill stood still"},
            headers={"Host": f"{NAME}:{outside.port}"},
        )  # fmt: skip
        assert answer.status_code == 204
        assert "secure" in answer.headers["set-cookie"].lower()
        assert answer.headers["strict-transport-security"].startswith("max-age=")
        assert client.get("/api/v1/session").json()["user"] == "anna"
        assert client.get("/api/v1/sessions").json()["sessions"][0]["address"] == ADDRESS
    listed = json.loads(outside.cli("people", "list", "--json").stdout)
    assert [(one["name"], one["state"]) for one in listed] == [("anna", "active")]


def test_the_certificate_is_for_the_names_and_by_the_ca_alone(outside: Outside) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(outside.url)
    for name in (NAME, ADDRESS, "localhost"):
        with (
            socket.create_connection((ADDRESS, outside.port), 10) as plain,
            outside.trust.wrap_socket(plain, server_hostname=name) as secure,
        ):
            assert secure.version() == "TLSv1.3"
    with (
        socket.create_connection((ADDRESS, outside.port), 10) as plain,
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        outside.trust.wrap_socket(plain, server_hostname="evil.example")


def test_nothing_is_answered_in_the_clear(outside: Outside) -> None:
    for address in (ADDRESS, "127.0.0.1"):
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"http://{address}:{outside.port}/api/v1/system")


def test_another_name_is_turned_away(outside: Outside) -> None:
    with httpx.Client(verify=outside.trust) as client:
        for host, status in ((NAME, 200), (f"{NAME}.evil.example", 421), ("localhost:1", 200)):
            answer = client.get(outside.url, headers={"Host": host})
            assert answer.status_code == status, host


def test_the_key_counts_on_this_machine_alone(outside: Outside) -> None:
    key = {"Authorization": f"Bearer {outside.key}"}
    with httpx.Client(verify=outside.trust, headers=key) as client:
        assert client.get(f"{outside.url}/api/v1/system").status_code == 401
        local = client.get(f"https://127.0.0.1:{outside.port}/api/v1/system")
        assert local.status_code == 200


def test_the_command_line_trusts_the_doors_and_hands_out_the_ca(outside: Outside) -> None:
    link = outside.cli("link")
    assert link.stdout.startswith(f"https://{NAME}:{outside.port}/#/sign-in/"), link.stderr
    assert f"https://{NAME}:{outside.port}/#/sign-in/" in outside.output
    printed = lineshaft("ca", "--data", str(outside.folder), **ENVIRON)
    assert x509.load_pem_x509_certificate(printed.stdout.encode()).subject.rfc4514_string()
    explained = lineshaft("check", "--data", str(outside.folder), **ENVIRON)
    assert "TLS by our own CA" in explained.stdout
    made = outside.cli("token", "new", "notebook")
    token = {"Authorization": f"Bearer {made.stdout.strip()}"}
    with httpx.Client(verify=outside.trust, headers=token) as client:
        assert client.get(f"{outside.url}/api/v1/system").status_code == 200
        listed = json.loads(outside.cli("token", "list", "--json").stdout)
        assert outside.cli("token", "revoke", listed[0]["id"]).returncode == 0
        assert client.get(f"{outside.url}/api/v1/system").status_code == 401


def test_keys_are_their_owners_alone(outside: Outside) -> None:
    for name in ("ca.key", "tls.key", "platform.key"):
        assert (outside.folder / "keys" / name).stat().st_mode & 0o077 == 0


class Six(Platform):
    """A platform on the loopback address of IPv6."""

    @property
    def url(self) -> str:
        return f"http://[::1]:{self.port}"


def test_an_address_of_ipv6_is_listened_on_called_and_printed(tmp_path: Path) -> None:
    environ = {"LINESHAFT__HTTP__HOST": "::1"}
    with running(tmp_path / "data", verb="up", environ=environ, kind=Six) as six:
        until("the address is printed", lambda: f"{six.url}/#/sign-in/" in six.output)
        here = ("--data", str(six.folder), "--port", str(six.port))
        link = lineshaft("link", *here, **environ)
        assert link.stdout.startswith(f"{six.url}/#/sign-in/"), link.stderr
        environ["LINESHAFT__HTTP__PORT"] = str(six.port)
        explained = lineshaft("check", "--data", str(six.folder), **environ)
        assert f"doors: {six.url}, on this machine alone" in explained.stdout, explained.stderr
        found = json.loads(lineshaft("doctor", "--json", *here, **environ).stdout)["findings"]
        port = next(one for one in found if one["name"] == "port")
        assert (port["state"], port["text"]) == ("ok", f"{six.url} answers")
        answer = httpx.get(six.url, headers={"Host": f"[2001:db8::7]:{six.port}"})
        assert answer.status_code == 421
    with pytest.raises(Refused) as refused:
        load(None, {"LINESHAFT__HTTP__HOST": "[::1]"})
    assert "brackets" in refused.value.hint


async def test_every_address_of_ipv6_is_in_the_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"LINESHAFT__HTTP__HOST": "::", "LINESHAFT__HTTP__NAMES": "2001:db8::7"}
    http = replace(load(None, environ)[0].http, port=free_port())
    assert (http.url, http.local_url) == tuple(
        f"https://[{address}]:{http.port}" for address in ("2001:db8::7", "::1")
    )
    async with opened(http, tmp_path, monkeypatch):
        trust = ssl.create_default_context(cafile=tmp_path / "keys" / "ca.crt")
        held = x509.load_der_x509_certificate(await shown(http, trust, "::1"))
        named = held.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        listed = {str(one) for one in named.get_values_for_type(x509.IPAddress)}
        assert {"2001:db8::7", "::1"} <= listed
        async with httpx.AsyncClient(verify=trust) as client:
            assert (await client.get(http.local_url)).text == "so it is"


TEXTS = st.text(max_size=30)
HOSTS = st.one_of(
    TEXTS, st.ip_addresses().map(str),
    st.sampled_from(["0.0.0.0", "::", "*", "", "localhost", "127.0.0.2", "::ffff:127.0.0.1"]),
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(host=HOSTS, names=st.one_of(st.just("a.example"), TEXTS), files=st.booleans())
def test_no_settings_open_doors_beyond_loopback_without_tls(
    host: str, names: str, files: bool
) -> None:
    environ = {"LINESHAFT__HTTP__HOST": host, "LINESHAFT__HTTP__NAMES": names}
    if files:
        environ |= {"LINESHAFT__HTTP__CERTIFICATE": "a", "LINESHAFT__HTTP__KEY": "b"}
    try:
        http = load(None, environ)[0].http
    except Refused:
        return
    assert http.is_tls or set(http.listens) <= {"127.0.0.1", "::1", "localhost"}
    assert http.url.startswith("https://") == http.is_tls == http.local_url.startswith("https://")
    assert http.host not in {"0.0.0.0", "::"} or http.listed


def read(file: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates(file.read_bytes())[0]


def test_a_certificate_is_renewed_in_time_and_the_ca_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read(ensure_pair(tmp_path, [NAME], "vm").certificate)
    authority = (tmp_path / "ca.crt").read_bytes()
    assert first == read(ensure_pair(tmp_path, [NAME], "vm").certificate)
    assert first.not_valid_after_utc - first.not_valid_before_utc <= datetime.timedelta(days=91)
    day_us = 86_400_000_000
    for days, is_kept in ((59, True), (61, False)):
        monkeypatch.setattr(certificates, "now_us", lambda days=days: now_us() + days * day_us)
        again = read(ensure_pair(tmp_path, [NAME], "vm").certificate)
        assert (again == first) is is_kept
        assert (tmp_path / "ca.crt").read_bytes() == authority
    again.verify_directly_issued_by(read(tmp_path / "ca.crt"))


def test_other_names_or_a_lost_key_make_a_new_certificate(tmp_path: Path) -> None:
    pair = ensure_pair(tmp_path, [NAME], "vm")
    first = read(pair.certificate)
    second = read(ensure_pair(tmp_path, [NAME, "192.0.2.9"], "vm").certificate)
    assert second != first
    pair.key.write_text("torn")
    assert read(ensure_pair(tmp_path, [NAME, "192.0.2.9"], "vm").certificate) != second


def test_given_files_serve_and_bad_ones_are_refused_in_words(tmp_path: Path) -> None:
    pair = ensure_pair(tmp_path / "made", [NAME], "vm")
    other = ensure_pair(tmp_path / "other", [NAME], "vm")
    assert check_pair(str(pair.certificate), str(pair.key)) == pair
    for certificate, key in ((pair.certificate, other.key), (pair.key, pair.key),
                             (tmp_path / "none", pair.key)):  # fmt: skip
        with pytest.raises(Refused, match=r"http\.certificate|belong to the key"):
            check_pair(str(certificate), str(key))
    environ = {"LINESHAFT__HTTP__CERTIFICATE": str(pair.certificate),
               "LINESHAFT__HTTP__KEY": str(pair.key)}  # fmt: skip
    http = load(None, environ)[0].http
    assert http.is_tls and not http.is_beyond
    assert "127.0.0.1" in Doors(http, tmp_path).hosts


@asynccontextmanager
async def opened(http: Http, folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """Open doors that look for another certificate ten times a second; `/slow` answers at the
    end only, which is set with the event that this gives."""
    monkeypatch.setattr(listening, "_LOOK_S", 0.1)
    finish = asyncio.Event()

    async def gate(scope: Any, _: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"so ", "more_body": True})
            if scope["path"] == "/slow":
                await finish.wait()
            await send({"type": "http.response.body", "body": b"it is", "more_body": False})

    doors = Doors(http, folder)
    serving = asyncio.create_task(doors.serve(gate))
    try:
        yield finish
    finally:
        finish.set()
        doors.stop()
        await asyncio.wait_for(serving, 10)


async def shown(http: Http, trust: ssl.SSLContext, address: str = "") -> bytes:
    """Return the certificate that the doors show, verified, as soon as they are open."""
    host = address or http.host
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection(host, http.port, ssl=trust)
            except ConnectionError:
                await asyncio.sleep(0.02)
                continue
            found: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            writer.close()
            return found


async def test_a_certificate_renewed_before_its_end_is_served_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = 1 / 86_400
    monkeypatch.setattr(certificates, "_DAYS", 5 * second)
    monkeypatch.setattr(certificates, "_RENEW_DAYS", 3 * second)
    http = Http(host=ADDRESS, port=free_port())
    async with opened(http, tmp_path, monkeypatch) as finish:
        trust = ssl.create_default_context(cafile=tmp_path / "keys" / "ca.crt")
        seen = {await shown(http, trust)}
        async with (
            httpx.AsyncClient(verify=trust, base_url=http.url, timeout=30) as client,
            client.stream("GET", "/slow") as begun,
        ):
            parts = begun.aiter_text()
            assert await anext(parts) == "so "
            async with asyncio.timeout(20):
                while len(seen) < 3:  # longer than the first one holds: each is verified
                    seen.add(await shown(http, trust))
                    assert (await client.get("/")).text == "so it is"
            finish.set()
            assert [part async for part in parts] == ["it is"]


async def test_files_that_somebody_renews_are_served_once_they_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = (ensure_pair(tmp_path / name, ["127.0.0.1"], "vm") for name in ("a", "b"))
    files = Http(port=free_port(), certificate=str(first.certificate), key=str(first.key))
    trust = ssl.create_default_context(cafile=tmp_path / "a" / "ca.crt")
    trust.load_verify_locations(cafile=tmp_path / "b" / "ca.crt")
    looks: list[str] = []

    def look(certificate: str, key: str) -> Pair:
        looks.append(key)
        return check_pair(certificate, key)

    monkeypatch.setattr(listening, "check_pair", look)
    async with opened(files, tmp_path, monkeypatch):
        before = await shown(files, trust)
        first.certificate.write_bytes(second.certificate.read_bytes())
        looks.clear()
        async with asyncio.timeout(10):
            while len(looks) < 3:  # certificate and key are not of one another
                assert await shown(files, trust) == before
            first.key.write_bytes(second.key.read_bytes())
            while await shown(files, trust) == before:
                pass
