"""What the tests of `connect` stand on: real servers in processes, a real bus, a real database."""

import asyncio
import datetime as dt
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from lineshaft.bus import Bus
from lineshaft.bus.client import data_stream, decode_block, fact_stream
from lineshaft.clock import now_us
from lineshaft.core.facts import Fact
from lineshaft.records import metadata, open_records
from lineshaft.rooms.connect.model import SourceState
from lineshaft.rooms.connect.service import ConnectService
from lineshaft.rooms.connect.store import SourceStore
from lineshaft.rooms.plant.store import SignalStore
from lineshaft.settings import Connect, Settings
from tests.support.nats import NatsServer

HERE = Path(__file__).parent
SITE = "demo"


async def until(holds: Callable[[], Any], seconds: float = 10, what: str = "") -> Any:
    """Wait until it holds (a function, or one that returns an awaitable), or fail."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while True:
        found = holds()
        found = await found if asyncio.iscoroutine(found) else found
        if found:
            return found
        if loop.time() > end:
            raise AssertionError(f"not within {seconds} s: {what or holds}")
        await asyncio.sleep(0.02)


class ServerProcess:
    """An `opcua_server.py` in a process of its own; killed and started on the same port at will."""

    def __init__(self, **options: Any) -> None:
        self.options = {"port": 0, **options}
        self.port = 0
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> "ServerProcess":
        self.launch()
        return self.ready()

    def launch(self) -> None:
        self.options["port"] = self.port or self.options["port"]
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "opcua_server.py"), json.dumps(self.options)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ready(self) -> "ServerProcess":
        assert self._process is not None and self._process.stdout is not None
        self.port = json.loads(self._process.stdout.readline())["port"]
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process = None

    def do(self, what: str, **arguments: Any) -> Any:
        assert self._process and self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    @property
    def endpoint(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return Path(self.options["count_log"])


@pytest.fixture
def servers() -> Iterator[Callable[..., ServerProcess]]:
    running: list[ServerProcess] = []

    def start(**options: Any) -> ServerProcess:
        running.append(ServerProcess(**options))
        return running[-1].start()

    yield start
    for server in running:
        server.stop()


@pytest.fixture(scope="session")
def plain() -> Iterator[ServerProcess]:
    """One server without security for all tests that leave it as it was."""
    server = ServerProcess().start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server that logs its counts, for all tests that leave it running."""
    server = ServerProcess(count_log=str(tmp_path_factory.mktemp("counting") / "log")).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def hurrying(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """The same, at fifty counts a second."""
    log = tmp_path_factory.mktemp("hurrying") / "log"
    server = ServerProcess(count_log=str(log), count_ms=20).start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One secured server for all tests that leave it as it was."""
    certificate, key = make_certificate(tmp_path_factory.mktemp("server"))
    server = ServerProcess(secured=True, certificate=str(certificate), key=str(key)).start()
    yield server
    server.stop()


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    with NatsServer(tmp_path) as server:
        yield server


class House:
    """Records, bus and the service `connect`, as the composition root would wire them."""

    def __init__(self, folder: Path, bus: Bus, buffer_samples: int = 2_000_000) -> None:
        self.folder, self.bus = folder, bus
        self.engine = open_records(folder / "records.db")
        metadata.create_all(self.engine)
        self.directory = SignalStore(self.engine, now_us)
        self.store = SourceStore(self.engine)
        self.settings = Settings(connect=Connect(buffer_samples=buffer_samples))
        self.states: dict[str, Any] = {}
        self._stop = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._stop = asyncio.Event()
        self.service = ConnectService(
            bus=self.bus, engine=self.engine, directory=self.directory, settings=self.settings,
            folder=self.folder,
        )  # fmt: skip
        self._task = asyncio.create_task(self.service.run(self._stop))
        await until(self.answers, 10, "connect answers")

    async def answers(self) -> bool:
        try:
            await self.bus.ask("connect", "apply", {}, 0.2)
        except Exception:
            return False
        return True

    async def stop(self) -> None:
        self._stop.set()
        if self._task is not None:
            await asyncio.wait_for(self._task, 5)

    async def ask(self, verb: str, **body: Any) -> Any:
        return await self.bus.ask("connect", verb, body, 30)

    async def add(self, endpoint: str, **more: Any) -> str:
        body = {
            "name": "Test", "endpoint": endpoint, "prefix": "lineshaft/demo/a/b",
            "policy": "None", "mode": "None", "user": "", "password": "", "nodes": None, **more,
        }  # fmt: skip
        return str((await self.ask("add", **body))["id"])

    def state(self, source: str) -> Any:
        running = self.service._running.get(source)
        return running.state if running is not None else SourceState()

    def sid(self, suffix: str) -> int:
        found = [s for s in self.directory.list() if s.signal.path.endswith("/" + suffix)]
        assert len(found) == 1, [s.signal.path for s in self.directory.list()]
        return found[0].signal.sid

    async def samples(self, suffix: str) -> list[tuple[int, Any, int]]:
        """Return (ts, value, quality) of a signal as the stream holds them, in stream order."""
        sid, rows = self.sid(suffix), []
        async for message in self._messages(data_stream(SITE)):
            batch = decode_block(message.data, message.headers).batch.to_pydict()
            for index, one in enumerate(batch["sid"]):
                if one == sid:
                    ts = int(batch["ts"][index].timestamp() * 1e6 + 0.5)
                    value = batch["v"][index] if batch["s"][index] is None else batch["s"][index]
                    rows.append((ts, value, batch["q"][index]))
        return rows

    async def facts(self, kind: str = "") -> list[Fact]:
        found = [Fact.from_json(m.data) async for m in self._messages(fact_stream(SITE))]
        return [fact for fact in found if fact.kind.startswith(kind)]

    async def _messages(self, name: str) -> AsyncIterator[Any]:
        state = await self.bus.streams.state(name)
        for seq in range(max(1, state.first), state.last + 1):
            message = await self.bus.streams.message(name, seq)
            assert message is not None
            yield message


@asynccontextmanager
async def open_bus(nats: NatsServer, max_bytes: int = 1_000_000_000) -> AsyncIterator[Bus]:
    bus = await Bus.connect(nats.access, SITE, "test")
    try:
        await until(lambda: _made(bus, max_bytes), 10, "streams")
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def open_house(
    nats: NatsServer, folder: Path, *, max_bytes: int = 1_000_000_000, **options: Any
) -> AsyncIterator[House]:
    async with open_bus(nats, max_bytes) as bus:
        house = House(folder, bus, **options)
        await house.start()
        try:
            yield house
        finally:
            await house.stop()


async def _made(bus: Bus, max_bytes: int) -> bool:
    try:
        await bus.ensure_streams(max_bytes)
    except Exception:
        return False
    return True


@pytest.fixture
async def house(nats: NatsServer, tmp_path: Path) -> AsyncIterator[House]:
    async with open_house(nats, tmp_path) as made:
        yield made


def make_certificate(folder: Path, name: str = "server") -> tuple[Path, Path]:
    """Make a server's key and certificate; return (certificate, key)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Test {name}")])
    now = dt.datetime.now(dt.UTC)
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=10))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier("urn:test:server")]), False
        )
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.der", folder / f"{name}.pem"
    cert_file.write_bytes(cert.public_bytes(serialization.Encoding.DER))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return cert_file, key_file


@dataclass(frozen=True)
class Counts:
    """What became of the counts of a plant: `stored` and `missing` numbers, `declared_s` of gap."""

    stored: list[int]
    missing: list[int]
    gaps: list[tuple[int, int, str]]

    @property
    def declared_s(self) -> float:
        return sum(end - start for start, end, _ in self.gaps) / 1e6


async def prove_counts(house: House, log: Path) -> Counts:
    """Check that each count since the first stored one is stored once or lies in a gap."""
    rows = await house.samples("counter")
    stored = [int(value) for _, value, quality in rows if quality < 512]
    assert len(stored) == len(set(stored)), "a count is stored twice"
    facts = await house.facts("link.gap")
    gaps = [(f.body["from"], f.body["to"], f.body["cause"]) for f in facts]
    first, last = min(stored), max(stored)
    missing = []
    lines = await asyncio.to_thread(log.read_text)
    for line in lines.splitlines():
        number, stamp = (int(part) for part in line.split())
        if first < number <= last and number not in set(stored):
            missing.append(number)
            inside = any(start <= stamp <= end for start, end, _ in gaps)
            assert inside, f"count {number} at {stamp} is neither stored nor declared: {gaps}"
    return Counts(sorted(stored), missing, gaps)
