"""A foreign server (node-opcua): connect, browse, follow; values equal to what it wrote.

Its npm package is installed once into `.cache/node-opcua`. Needs node and npm.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.connect.conftest import HERE, House, until
from tests.connect.test_link import connected

CACHE = HERE.parents[1] / ".cache" / "node-opcua"


class ForeignServer:
    def __init__(self, modules: Path, work: Path) -> None:
        self._process = subprocess.Popen(
            ["node", str(HERE / "foreign_server.js"), str(modules), str(work)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.endpoint = str(self._line()["endpoint"])

    def _line(self) -> Any:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(("{", "[")):
                return json.loads(line)
        raise AssertionError("the foreign server ended")

    def log(self) -> list[tuple[int, float]]:
        """Return (count, force) of each change so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("log\n")
        self._process.stdin.flush()
        return [(int(count), float(force)) for count, force in self._line()]

    def stop(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForeignServer]:
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are needed for the foreign server")
    modules = CACHE / "node_modules"
    if not (modules / "node-opcua").exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        (CACHE / "package.json").write_text('{"private": true}')
        command = ["npm", "install", "--no-audit", "--no-fund", "node-opcua@2"]
        done = subprocess.run(command, cwd=CACHE, capture_output=True, text=True, timeout=400)
        if done.returncode:
            pytest.skip(f"npm cannot install node-opcua: {done.stderr[-200:]}")
    server = ForeignServer(modules, tmp_path_factory.mktemp("foreign"))
    yield server
    server.stop()


@pytest.mark.long
@pytest.mark.timeout(500)
@pytest.mark.parametrize("secured", [False, True])
async def test_a_foreign_server(house: House, foreign: ForeignServer, secured: bool) -> None:
    login: dict[str, Any] = {"policy": "None", "mode": "None"}
    if secured:
        login = {
            "policy": "Basic256Sha256", "mode": "SignAndEncrypt", "user": "operator",
            "password": "tester",
        }  # fmt: skip
        probed = await house.ask("probe", endpoint=foreign.endpoint)
        await house.ask("trust", thumbprint=probed["certificate"]["thumbprint"])
    found = await house.ask("browse", endpoint=foreign.endpoint, **login)
    nodes = {node["path"]: node for node in found["nodes"]}
    assert {"press-1/counter", "press-1/force", "press-1/state", "press-1/on"} <= set(nodes)
    assert "press-1/matrix" not in nodes
    force = nodes["press-1/force"]
    assert (force["unit"], force["low"], force["high"], force["kind"]) == ("N", 0, 500, "float")
    assert nodes["press-1/counter"]["kind"] == "int" and nodes["press-1/state"]["kind"] == "string"

    wanted = [node["node_id"] for path, node in nodes.items() if path.startswith("press-1/")]
    source = await house.add(foreign.endpoint, nodes=wanted, **login)
    await connected(house, source)
    before = house.state(source).samples
    await until(lambda: house.state(source).samples > before + 100, 20)
    await until(lambda: house.service._running[source].runner.waiting == 0)

    counts = [int(v) for _, v, q in await house.samples("counter") if q == 0]
    assert counts == list(range(counts[0], counts[0] + len(counts))), "no count is lost or doubled"
    stamps = {ts: int(v) for ts, v, _ in await house.samples("counter")}
    forces = await house.samples("force")
    written = dict(foreign.log())
    checked = 0
    for ts, v, q in forces:
        count = min(stamps.items(), key=lambda item: abs(item[0] - ts))
        if abs(count[0] - ts) < 20_000 and q == 0:
            assert v in {written.get(count[1] + d) for d in (-1, 0, 1)}
            checked += 1
    assert checked > 20
    texts = {v for _, v, _ in await house.samples("state")}
    assert texts <= {"idle", "press", "压制", ""} and "压制" in texts
    assert not await house.facts("link.lost") and not await house.facts("link.gap")
