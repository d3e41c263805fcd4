"""A plant as a process of its own: ready line, missing compiler, kill and start again."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lineshaft.core.errors import Broken, Refused
from lineshaft.plants.process import PlantSettings, choose_plant, open_plant
from tests.plants.conftest import PASSWORD, USER, client_identity, connect, needs_tep, wait_for

_HIDE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "tep_studio" or name == "tep_studio.simulation._tep_native":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Hidden())
"""
_HIDE_NATIVE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name == "tep_studio.simulation._tep_native":
            raise ImportError(name)
sys.meta_path.insert(0, Hidden())
"""
_CHOOSE = """
from lineshaft.plants.process import choose_plant
plant, notice = choose_plant("auto")
plant.advance(0.01)
print(plant.spec.name); print(notice)
"""


def run_python(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("hide", [_HIDE, pytest.param(_HIDE_NATIVE, marks=needs_tep)])
def test_without_a_compiler_the_reactor_runs_and_one_sentence_says_why(hide: str) -> None:
    name, why, notice = run_python(hide + _CHOOSE)
    assert name == "williams-otto"
    assert why == (
        "The Tennessee Eastman plant cannot run here: its package tep-studio is not installed or "
        "its C model is not built, so the Williams-Otto reactor runs instead. Install a C compiler "
        "(apt-get install gcc python3-dev), then the extra 'plants'."
    )
    assert notice.startswith("Williams-Otto reactor: ")


def test_without_a_compiler_tep_itself_is_refused_clearly() -> None:
    code = _HIDE + (
        "from lineshaft.core.errors import Broken\n"
        "from lineshaft.plants.process import choose_plant\n"
        "try: choose_plant('tep')\n"
        "except Broken as broken: print(broken.code, broken.retryable)"
    )
    assert run_python(code) == ["plant.tep False"]


@needs_tep
def test_auto_is_the_eastman_plant_with_its_models_notice() -> None:
    plant, notice = choose_plant("auto")
    assert plant.spec.name == "tep"
    for name in ("Downs", "Bathelt", "Ricker", "tep-studio"):
        assert name in notice


def test_unknown_kinds_and_weak_passwords_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no plant 'nuclear'"):
        choose_plant("nuclear")
    with pytest.raises(Refused, match="password"):
        PlantSettings(folder=tmp_path, user="u", password="short")


def test_the_password_is_not_in_the_repr(tmp_path: Path) -> None:
    assert PASSWORD not in repr(PlantSettings(folder=tmp_path, user=USER, password=PASSWORD))


class Child:
    """`python -m lineshaft.plants` with the given options."""

    def __init__(self, folder: Path, *options: str) -> None:
        secret = folder / "password"
        folder.mkdir(exist_ok=True)
        secret.write_text(PASSWORD + "\n")
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "lineshaft.plants", "--user", USER, "--password-file",
                str(secret), "--folder", str(folder), *options,
            ],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def ready(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.stderr and self.process.stderr.read()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        self.process.communicate(timeout=20)
        return self.process.returncode


async def read_counter(ready: dict[str, Any], folder: Path) -> int:
    class Running:
        endpoint = ready["endpoint"]
        certificate = Path(ready["certificate"])

    async with connect(Running(), client_identity(folder)) as client:  # type: ignore[arg-type]
        index = await client.get_namespace_index(f"urn:lineshaft:plant:{ready['kind']}")
        return int(await client.get_node(f"ns={index};s=plant/counter").read_value())


def test_killed_and_started_again_it_counts_on_with_the_same_certificate(tmp_path: Path) -> None:
    options = ("--kind", "williams-otto", "--trust-any", "--counter-period-ms", "20")
    child = Child(tmp_path / "p", *options)
    try:
        first = child.ready()
        seen = asyncio.run(read_counter(first, tmp_path / "c"))
    finally:
        assert child.end(signal.SIGKILL) == -signal.SIGKILL
    kept = int((tmp_path / "p" / "counter").read_text())
    assert kept >= seen >= 1
    child = Child(tmp_path / "p", *options)
    try:
        second = child.ready()
        assert asyncio.run(read_counter(second, tmp_path / "c")) > kept
    finally:
        assert child.end(signal.SIGTERM) == 0
    assert second["thumbprint"] == first["thumbprint"]
    own = tmp_path / "p" / "pki" / "own"
    assert os.stat(own / "key.pem").st_mode & 0o777 == 0o600


def test_a_port_in_use_is_said_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        child = Child(tmp_path, "--kind", "williams-otto", "--port", str(port))
        out, error = child.process.communicate(timeout=60)
    assert child.process.returncode == 1
    assert out == ""
    assert error.startswith(f"The plant cannot listen on 127.0.0.1:{port}: ")
    assert error.count("\n") == 1


@needs_tep
async def test_the_eastman_plant_is_served_whole(tmp_path: Path) -> None:
    settings = PlantSettings(
        folder=tmp_path, user=USER, password=PASSWORD, kind="tep", speed=60, trust_clients="any"
    )
    async with open_plant(settings) as running:
        assert running.kind == "tep"
        assert len((await running.panel.handle({}))["disturbances"]) == 28
        async with connect(running, client_identity(tmp_path / "client")) as client:
            index = await client.get_namespace_index("urn:lineshaft:plant:tep")
            keys = [signal.key for signal in running.spec.signals]
            nodes = [client.get_node(f"ns={index};s={key}") for key in keys]
            answers = await client.read_attributes(nodes)
            assert all(a.StatusCode is not None and a.StatusCode.is_good() for a in answers)
            values = {k: a.Value.Value for k, a in zip(keys, answers, strict=True) if a.Value}
            assert len(values) == 107
            assert values["reactor/pressure"] == pytest.approx(2705, abs=30)
            assert values["feed/ac-flow"] == pytest.approx(9348, rel=0.05)  # kscmh times 1,000
            assert values["plant/state"] == "running"
            valve = client.get_node(f"ns={index};s=stripper/steam-valve-local")
            await valve.write_value(40.0)
            moved = client.get_node(f"ns={index};s=stripper/steam-valve")
            await wait_for(moved, 40.0)


async def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "pki").write_text("a file where a folder should be")
    settings = PlantSettings(folder=tmp_path, user=USER, password=PASSWORD, kind="williams-otto")
    with pytest.raises(Broken, match="certificate cannot be kept"):
        async with open_plant(settings):
            pass
