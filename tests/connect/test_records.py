"""Sources as Records, passwords as files, certificates in folders, the demo plant, the doors."""

import asyncio
import json
import stat
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from lineshaft.clock import now_us
from lineshaft.core.errors import Refused
from lineshaft.records import metadata, open_records
from lineshaft.rooms.connect.board import SourceBoard
from lineshaft.rooms.connect.demo import DEMO_ID, ensure_demo_source
from lineshaft.rooms.connect.engine import Gap
from lineshaft.rooms.connect.model import Source, check_endpoint, parse_draft, parse_login
from lineshaft.rooms.connect.protocols.opcua.pki import QUARANTINE, Pki
from lineshaft.rooms.connect.routes import router
from lineshaft.rooms.connect.store import Secrets, SourceStore
from tests.connect.conftest import House, ServerProcess, make_certificate, until
from tests.connect.test_link import connected


@pytest.fixture
def store(tmp_path: Path) -> SourceStore:
    engine = open_records(tmp_path / "records.db")
    metadata.create_all(engine)
    return SourceStore(engine)


def test_sources_come_back_as_written(store: SourceStore) -> None:
    source = Source("press-1", "Press 1", "opc.tcp://h:4840", "a/b/c/d", user="u")
    store.save(source)
    assert store.get("press-1") == source and store.all() == [source]
    with pytest.raises(Refused) as refused:
        store.get("../../etc")
    assert refused.value.status == 404
    store.add_gap("press-1", Gap(1_000_000, 3_000_000, "link"))
    store.add_gap("press-1", Gap(0, 500_000, "link"))
    assert store.gaps_since(2_000_000) == {"press-1": {"count": 1, "seconds": 1.0}}
    store.remove("press-1")
    assert store.all() == []


def test_passwords_are_private_files(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    secrets.put("s1", "geheim")
    file = tmp_path / "secrets" / "s1"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600 and secrets.get("s1") == "geheim"
    assert secrets.get("other") == ""
    with pytest.raises(Refused):
        secrets.put("../s1", "x")
    login = parse_login({"endpoint": "opc.tcp://h", "password": "geheim"})
    assert "geheim" not in repr(login)
    body = {"endpoint": "opc.tcp://h", "password": "geheim", "name": "x", "prefix": "a/b/c/d"}
    assert "geheim" not in repr(parse_draft(body))


@pytest.mark.parametrize(
    ("given", "wanted"),
    [("opc.tcp://h", "opc.tcp://h:4840"), (" opc.tcp://H:1/x ", "opc.tcp://h:1/x"),
     ("opc.tcp://[::1]:5", "opc.tcp://[::1]:5")],
)  # fmt: skip
def test_endpoints(given: str, wanted: str) -> None:
    assert check_endpoint(given) == wanted


@pytest.mark.parametrize(
    "given", ["", "http://h", "opc.tcp://", "opc.tcp://u:geheim@h", "opc.tcp://h:99999"]
)
def test_no_endpoints(given: str) -> None:
    with pytest.raises(Refused) as refused:
        check_endpoint(given)
    assert "geheim" not in str(refused.value)


def test_certificates_wait_are_trusted_and_are_bounded(tmp_path: Path) -> None:
    pki = Pki(tmp_path, now_us())
    der = make_certificate(tmp_path)[0].read_bytes()
    assert pki.quarantine(der) and not pki.quarantine(der)
    thumbprint = pki.judge(der).thumbprint
    assert pki.trust(thumbprint).trusted and pki.trust(thumbprint).trusted
    assert not pki.distrust(thumbprint).trusted
    for unknown in ("0" * 64, "../x", ""):
        with pytest.raises(Refused) as refused:
            pki.trust(unknown)
        assert refused.value.status == 404
    with pytest.raises(Refused):
        pki.judge(b"no certificate")
    for number in range(QUARANTINE + 5):
        pki.quarantine(b"%d" % number)
    assert len(list((tmp_path / "pki" / "opcua" / "quarantined").iterdir())) == QUARANTINE
    own = pki.own()
    assert pki.own() == own and str(own.key) not in repr(own)


def test_the_demo_source_follows_its_plant(store: SourceStore, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)[0].read_bytes()

    def ensure(port: int, view: str = "tep") -> Source:
        return ensure_demo_source(
            store, tmp_path, endpoint=f"opc.tcp://127.0.0.1:{port}", user="lineshaft",
            password="long enough", certificate=certificate, now_us=now_us(), view=view,
        )  # fmt: skip

    first = ensure(1000)
    assert ensure(1000) == first == store.get(DEMO_ID)
    assert Pki(tmp_path, now_us()).judge(certificate).trusted
    store.save(Source(**{**_plain(first), "name": "Ours", "enabled": False}))
    moved = ensure(1001)
    assert (moved.name, moved.enabled) == ("Ours", False)
    assert moved.endpoint.endswith(":1001")
    other = ensure(1001, "williams-otto")
    assert other.view == "williams-otto" and other.revision > moved.revision
    assert not other.enabled


def _plain(source: Source) -> dict[str, object]:
    return {name: getattr(source, name) for name in Source.__dataclass_fields__}


async def test_the_doors(house: House, plain: ServerProcess) -> None:
    board = SourceBoard(house.bus, house.store, now_us)
    await board.listen()
    app = FastAPI()
    app.include_router(router(house.bus, board), prefix="/api/v1")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://x/api/v1") as client:
        probed = (await client.post("/opcua/probe", json={"endpoint": plain.endpoint})).json()
        assert probed["endpoints"][0]["policy"] == "None"
        server = {"endpoint": plain.endpoint, "policy": "None", "mode": "None"}
        nodes = (await client.post("/opcua/browse", json=server)).json()["nodes"]
        assert {"mixer-1/counter", "mixer-1/state"} <= {node["path"] for node in nodes}
        body = {**server, "name": "Mixer", "prefix": "lineshaft/demo/a/b", "nodes": None}
        made = await client.post("/sources", json=body)
        assert made.status_code == 201, made.text
        source = made.json()["id"]
        await connected(house, source)
        await until(lambda: board.source(source)["link"] == "connected")
        listed = (await client.get("/sources")).json()["sources"]
        assert [one["id"] for one in listed] == [source]
        assert listed[0]["signals"] == 5 and "password" not in json.dumps(listed)
        changed = await client.put(f"/sources/{source}", json={"name": "Mixer One"})
        assert changed.json()["name"] == "Mixer One"
        assert house.state(source).link == "connected", "a name changes nothing else"
        only = [node["node_id"] for node in nodes if node["path"] == "mixer-1/counter"]
        changed = await client.put(f"/sources/{source}", json={"nodes": only})
        assert changed.json()["signals"] == 1
        off = await client.put(f"/sources/{source}", json={"enabled": False})
        assert off.json()["enabled"] is False
        await until(lambda: board.source(source)["task"] == "stopped")
        assert (await client.get("/opcua/certificates")).json()["own"]["trusted"]
        assert (await client.delete(f"/sources/{source}")).status_code == 204
        assert (await client.get("/sources")).json() == {"sources": []}
    assert set(app.openapi()["paths"]) == {
        f"/api/v1{path}"
        for path in ("/sources", "/sources/{source_id}", "/opcua/probe", "/opcua/trust",
                     "/opcua/distrust", "/opcua/certificates", "/opcua/browse")
    }  # fmt: skip


async def test_the_board_does_not_show_what_nobody_tells_any_more(
    house: House, plain: ServerProcess
) -> None:
    moment = now_us()
    board = SourceBoard(house.bus, house.store, lambda: moment)
    await board.listen()
    source = await house.add(plain.endpoint)
    await until(lambda: board.source(source)["link"] == "connected")
    await until(lambda: board.source(source)["last_sample"])
    moment += 10_000_000
    shown = await asyncio.to_thread(board.source, source)
    assert (shown["task"], shown["link"], shown["rate"]) == ("stopped", "disconnected", 0)
    assert shown["last_sample"]
