"""A machine of somebody else: found, judged, browsed, added, followed and removed as a person does
it in the console, over HTTP alone."""

import hashlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.connect.conftest import ServerProcess, make_certificate
from tests.end_to_end.platform import Platform, running, until

PASSWORD = "correct horse"
PREFIX = "lineshaft/demo/hall/line"


class Machine:
    """A server with a certificate of its own that wants a user and a password."""

    def __init__(self, folder: Path) -> None:
        certificate, key = make_certificate(folder)
        self.thumbprint = hashlib.sha256(certificate.read_bytes()).hexdigest()
        self.server = ServerProcess(secured=True, certificate=str(certificate), key=str(key))

    @property
    def login(self) -> dict[str, Any]:
        return {
            "endpoint": self.server.endpoint, "policy": "Basic256Sha256",
            "mode": "SignAndEncrypt", "user": "operator", "password": PASSWORD,
        }  # fmt: skip

    def draft(self, name: str, nodes: list[str] | None) -> dict[str, Any]:
        return {**self.login, "name": name, "prefix": PREFIX, "nodes": nodes}


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    machine = Machine(tmp_path_factory.mktemp("machine"))
    machine.server.start()
    yield machine
    machine.server.stop()


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with running(tmp_path_factory.mktemp("foreign") / "data", verb="up") as platform:
        until("connect answers", lambda: platform.ask("GET", "opcua/certificates").is_success)
        yield platform


@pytest.fixture(scope="module")
def trusted(platform: Platform, machine: Machine) -> Machine:
    platform.post("opcua/probe", {"endpoint": machine.server.endpoint})
    platform.post("opcua/trust", {"thumbprint": machine.thumbprint})
    return machine


@pytest.fixture(scope="module")
def source(platform: Platform, trusted: Machine) -> dict[str, Any]:
    """The machine as a source, with two of its variables."""
    nodes = platform.post("opcua/browse", trusted.login)["nodes"]
    chosen = [n["node_id"] for n in nodes if n["path"].endswith(("/counter", "/temperature"))]
    added = platform.ask("POST", "sources", trusted.draft("Mixing hall", chosen))
    assert added.status_code == 201, added.text
    return dict(added.json())


def refused(answer: Any, code: str, *parts: str) -> None:
    """Check that this was refused in words: what happened, and what to do."""
    assert 400 <= answer.status_code < 600, answer.text
    content = answer.json()
    assert content["code"] == code
    assert content["message"] and content["hint"]
    for part in parts:
        assert part in content["message"] + content["hint"]
    assert PASSWORD not in answer.text and "Traceback" not in answer.text


def test_an_unknown_certificate_is_named_and_nothing_secret_is_sent(
    platform: Platform, machine: Machine
) -> None:
    found = platform.post("opcua/probe", {"endpoint": machine.server.endpoint})
    assert [(e["policy"], e["mode"], e["tokens"]) for e in found["endpoints"]] == [
        ("Basic256Sha256", "SignAndEncrypt", ["username"])
    ]
    shown = found["certificate"]
    assert shown["thumbprint"] == machine.thumbprint and "Test server" in shown["subject"]
    assert shown["trusted"] is False and shown["reason"]
    for path, body in (("browse", machine.login), ("sources", machine.draft("Early", None))):
        answer = platform.ask("POST", path if path == "sources" else f"opcua/{path}", body)
        refused(answer, "certificate.untrusted", machine.thumbprint[:16], "trust")
    listed = {c["thumbprint"]: c for c in platform.get("opcua/certificates")["certificates"]}
    assert listed[machine.thumbprint]["state"] == "quarantined"
    assert platform.get("sources") == {"sources": []}
    facts = platform.facts("certificate.quarantined")
    assert [f["body"]["thumbprint"] for f in facts] == [machine.thumbprint]


def test_a_wrong_password_is_told(platform: Platform, trusted: Machine) -> None:
    for login in ({"password": "wrong"}, {"user": "nobody"}, {"user": "", "password": ""}):
        answer = platform.ask("POST", "opcua/browse", {**trusted.login, **login})
        refused(answer, "opcua.login")


def test_security_that_the_server_does_not_offer_is_told(
    platform: Platform, trusted: Machine
) -> None:
    body = {**trusted.login, "mode": "Sign"}
    refused(platform.ask("POST", "opcua/browse", body), "opcua.security", "SignAndEncrypt")
    body = {**trusted.login, "policy": "Basic128Rsa15"}
    refused(platform.ask("POST", "opcua/browse", body), "source.security", "Basic256Sha256")


def test_a_server_that_is_not_there_or_is_none_is_told(platform: Platform) -> None:
    refused(platform.ask("POST", "opcua/probe", {"endpoint": "opc.tcp://127.0.0.1:1"}),
            "opcua.unreachable", "reachable")  # fmt: skip
    refused(platform.ask("POST", "opcua/probe", {"endpoint": "http://127.0.0.1"}),
            "source.endpoint", "opc.tcp://")  # fmt: skip
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"opc.tcp://127.0.0.1:{silent.getsockname()[1]}"
        answer = platform.ask("POST", "opcua/probe", {"endpoint": endpoint})
        assert answer.status_code >= 400 and answer.json()["code"] == "opcua.timeout"


def test_browsing_shows_what_the_machine_says_of_itself(
    platform: Platform, trusted: Machine
) -> None:
    found = platform.post("opcua/browse", trusted.login)
    assert found["server"]["name"] and found["truncated"] is False
    kinds = {node["path"].rpartition("/")[2]: node["kind"] for node in found["nodes"]}
    wanted = {"counter": "int", "temperature": "float", "running": "bool", "state": "string"}
    assert wanted.items() <= kinds.items()
    assert all(node["node_id"].startswith("nsu=") for node in found["nodes"])


def counts(platform: Platform) -> list[float]:
    sid = platform.signals()[f"{PREFIX}/mixer-1/counter"]["sid"]
    values: list[float] = platform.get("raw", sid=sid)["v"]
    return values


def test_an_added_machine_is_live(
    platform: Platform, machine: Machine, source: dict[str, Any]
) -> None:
    assert (source["name"], source["endpoint"]) == ("Mixing hall", machine.server.endpoint)
    platform.wait_connected(source["id"])
    signals = platform.signals()
    assert sorted(signals) == [f"{PREFIX}/mixer-1/counter", f"{PREFIX}/mixer-1/temperature"]
    until("it counts", lambda: len(counts(platform)) > 10)
    machine.server.do("write", name="Temperature", value=87.5, kind="Double")
    sid = signals[f"{PREFIX}/mixer-1/temperature"]["sid"]
    until("a written value comes", lambda: platform.get("last", sid=sid)["v"] == [87.5])
    shown = platform.source(source["id"])
    assert shown["certificate"]["thumbprint"] == machine.thumbprint
    assert shown["last_error"] is None and shown["signals"] == 2
    assert [fact["subject"] for fact in platform.facts("source.added")] == [source["id"]]


def test_its_password_is_shown_nowhere(
    platform: Platform, machine: Machine, source: dict[str, Any]
) -> None:
    assert PASSWORD not in str(platform.get("sources")) + str(platform.facts())
    for file in platform.folder.rglob("*"):
        if file.is_file() and PASSWORD.encode() in file.read_bytes():
            assert file.stat().st_mode & 0o077 == 0
            assert file.parts[-2] == "secrets" or "secrets" in file.parts, file


def test_a_password_that_became_wrong_is_told_and_mended(
    platform: Platform, source: dict[str, Any]
) -> None:
    def change(**what: Any) -> None:
        answer = platform.ask("PUT", f"sources/{source['id']}", what)
        assert answer.status_code == 200, answer.text

    platform.wait_connected(source["id"])
    change(password="wrong")
    until("it is refused", lambda: platform.source(source["id"])["link"] == "refused")
    error = platform.source(source["id"])["last_error"]
    assert "user and password" in error["message"] and error["hint"]
    change(password=PASSWORD)
    platform.wait_connected(source["id"])


def test_a_machine_that_is_switched_off_comes_back(
    platform: Platform, machine: Machine, source: dict[str, Any]
) -> None:
    platform.wait_connected(source["id"])
    machine.server.stop()
    until("it is lost", lambda: platform.source(source["id"])["link"] != "connected")
    error = until("why is told", lambda: platform.source(source["id"])["last_error"])
    assert error["message"]
    machine.server.start()
    platform.wait_connected(source["id"])
    until("the gap is declared", lambda: platform.source(source["id"])["gaps_24h"]["count"])


def test_a_certificate_trusted_no_more_cuts_the_source(
    platform: Platform, machine: Machine, source: dict[str, Any]
) -> None:
    platform.wait_connected(source["id"])
    platform.post("opcua/distrust", {"thumbprint": machine.thumbprint})
    until("it is refused", lambda: platform.source(source["id"])["link"] == "refused")
    assert "not trusted" in platform.source(source["id"])["last_error"]["message"]
    platform.post("opcua/trust", {"thumbprint": machine.thumbprint})
    platform.wait_connected(source["id"])


def test_a_removed_source_leaves_its_history(
    platform: Platform, machine: Machine, source: dict[str, Any]
) -> None:
    before = counts(platform)
    assert platform.ask("DELETE", f"sources/{source['id']}").status_code == 204
    assert platform.get("sources") == {"sources": []}
    after = counts(platform)
    assert after[: len(before)] == before and len(after) >= len(before) > 10
    answer = platform.ask("DELETE", f"sources/{source['id']}")
    assert (answer.status_code, answer.json()["code"]) == (404, "source.unknown")
    assert [fact["subject"] for fact in platform.facts("source.removed")] == [source["id"]]
    secrets = (platform.folder / "secrets").rglob("*")
    assert not any(PASSWORD.encode() in file.read_bytes() for file in secrets if file.is_file())
    again = platform.ask("POST", "sources", machine.draft("Mixing hall", None))
    assert again.status_code == 201 and again.json()["id"] != source["id"]
    platform.wait_connected(again.json()["id"])
    assert counts(platform)[: len(after)] == after
