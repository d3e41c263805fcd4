"""Certificates and passwords: what is refused, what that looks like, what is never shown."""

import asyncio
import logging
import stat
from pathlib import Path
from typing import Any

import pytest

from lineshaft.core.errors import Refused
from lineshaft.rooms.connect.protocols.opcua import session
from tests.connect.conftest import House, ServerProcess, make_certificate, until
from tests.connect.test_link import Servers, connected, value

SECURED: dict[str, Any] = {
    "policy": "Basic256Sha256", "mode": "SignAndEncrypt", "user": "operator",
    "password": "correct horse",
}  # fmt: skip


async def trusted(house: House, server: ServerProcess) -> str:
    """Trust a server's certificate as a person would; return its thumbprint."""
    found = (await house.ask("probe", endpoint=server.endpoint))["certificate"]
    await house.ask("trust", thumbprint=found["thumbprint"])
    return str(found["thumbprint"])


async def test_probe_trust_browse_add(house: House, secured: ServerProcess) -> None:
    found = await house.ask("probe", endpoint=secured.endpoint)
    ways = [(e["policy"], e["mode"], e["tokens"]) for e in found["endpoints"]]
    assert ("Basic256Sha256", "SignAndEncrypt", ["username"]) in ways
    assert found["certificate"]["trusted"] is False and found["certificate"]["reason"]
    listed = await house.ask("certificates")
    assert [c["state"] for c in listed["certificates"]] == ["quarantined"]
    assert listed["own"]["uris"][0].startswith("urn:lineshaft:")
    with pytest.raises(Refused, match="not trusted") as refused:
        await house.ask("browse", endpoint=secured.endpoint, **SECURED)
    assert refused.value.code == "certificate.untrusted" and refused.value.hint

    await house.ask("trust", thumbprint=found["certificate"]["thumbprint"])
    assert (await house.ask("probe", endpoint=secured.endpoint))["certificate"]["trusted"]
    browsed = await house.ask("browse", endpoint=secured.endpoint, **SECURED)
    nodes = {node["path"]: node for node in browsed["nodes"]}
    assert nodes["mixer-1/temperature"]["unit"] == "Cel"
    chosen = [nodes["mixer-1/temperature"]["node_id"], nodes["mixer-1/counter"]["node_id"]]
    source = await house.add(secured.endpoint, nodes=chosen, **SECURED)
    await connected(house, source)
    assert house.state(source).certificate.trusted
    assert sorted(s.signal.name for s in house.directory.list()) == ["Counter", "Temperature"]
    await value(house, "counter", lambda v, q: v > 0)
    kinds = [fact.kind for fact in await house.facts("certificate")]
    assert kinds == ["certificate.quarantined", "certificate.trusted"]

    # A browse for a source that exists may use its saved password, but only at its own server.
    body = {**SECURED, "password": "", "source": source}
    assert (await house.ask("browse", endpoint=secured.endpoint, **body))["nodes"]


async def test_a_changed_certificate_is_refused_until_somebody_trusts_it(
    house: House, servers: Servers, tmp_path: Path
) -> None:
    first = make_certificate(tmp_path, "first")
    second = make_certificate(tmp_path, "second")
    server = servers(secured=True, certificate=str(first[0]), key=str(first[1]))
    await trusted(house, server)
    source = await house.add(server.endpoint, **SECURED)
    await connected(house, source)
    server.stop()
    server.options |= {"certificate": str(second[0]), "key": str(second[1])}
    await asyncio.to_thread(server.start)
    await until(lambda: house.state(source).link == "refused", 15)
    error = house.state(source).last_error
    assert error["code"] == "certificate.untrusted"
    facts = await house.facts("certificate.quarantined")
    assert len(facts) == 2, "told once, however often it is tried"
    await house.ask("trust", thumbprint=facts[-1].body["thumbprint"])
    await connected(house, source, 5)
    gaps = await until(lambda: house.facts("link.gap"))
    assert gaps[0].body["cause"] == "refused"

    await house.ask("distrust", thumbprint=facts[-1].body["thumbprint"])
    await until(lambda: house.state(source).link == "refused", 5, "cut at once")


async def test_the_channel_is_renewed_while_values_come(
    house: House, secured: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "_CHANNEL_MS", 1000)
    await trusted(house, secured)
    source = await house.add(secured.endpoint, **SECURED)
    await connected(house, source)
    since = house.state(source).since
    before = house.state(source).samples
    await until(lambda: house.state(source).samples > before + 35)
    assert house.state(source).since == since and not await house.facts("link.lost")


async def test_a_wrong_password_is_refused_and_nowhere_to_be_seen(
    house: House, secured: ServerProcess, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await trusted(house, secured)
    wrong = {**SECURED, "password": "hunter2-secret"}
    with pytest.raises(Refused, match="user and password"):
        await house.add(secured.endpoint, **wrong)
    source = await house.add(secured.endpoint, **SECURED)
    await connected(house, source)
    await house.ask("change", id=source, password="hunter2-secret")
    await until(lambda: house.state(source).link == "refused", 15)
    assert house.state(source).last_error["code"] == "opcua.login"
    file = house.folder / "secrets" / source
    assert file.read_text() == "hunter2-secret"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    own = house.folder / "pki" / "opcua" / "own" / "key.der"
    assert stat.S_IMODE(own.stat().st_mode) == 0o600

    running = house.service._running[source]
    shown = [
        repr(running.runner), repr(running.runner._login), repr(running.source),
        repr(running.state), str(running.state.view()),
        *(str(fact.body) for fact in await house.facts()),
        *(record.getMessage() for record in caplog.records),
        *(str(record.exc_info) for record in caplog.records),
    ]  # fmt: skip
    shown.append((house.folder / "records.db").read_bytes().decode("latin-1"))
    wal = house.folder / "records.db-wal"
    shown.append(wal.read_bytes().decode("latin-1") if wal.exists() else "")
    for text in shown:
        assert "hunter2-secret" not in text and "correct horse" not in text

    await house.ask("change", id=source, password="correct horse")
    await connected(house, source)
    with pytest.raises(Refused, match="given for another server"):
        await house.ask("change", id=source, endpoint="opc.tcp://127.0.0.1:9")
    with pytest.raises(Refused, match="given for another server"):
        await house.ask("change", id=source, user="somebody")
    with pytest.raises(Refused):
        await house.ask("change", id=source, password="never kept", nodes=["ns=9;s=none"])
    assert file.read_text() == "correct horse" and house.state(source).link == "connected"
    await house.ask("remove", id=source)
    await until(lambda: source not in house.service._running)
    assert not file.exists()
    assert house.directory.list(), "signals and history stay"


async def test_security_that_is_not_offered(house: House, plain: ServerProcess) -> None:
    with pytest.raises(Refused, match="does not offer Basic256Sha256"):
        await house.add(plain.endpoint, policy="Basic256Sha256", mode="Sign")
    with pytest.raises(Refused) as refused:
        await house.add("http://127.0.0.1:1")
    assert refused.value.code == "source.endpoint"
    with pytest.raises(Refused) as silent:
        await house.add("opc.tcp://127.0.0.1:1")
    assert silent.value.code == "opcua.unreachable"
