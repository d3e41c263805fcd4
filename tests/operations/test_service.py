"""The unit file is one that systemd takes, and the platform tells it when its doors are open."""

import configparser
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.end_to_end.platform import running

UNIT = Path(__file__).parents[2] / "deploy" / "lineshaft.service"


class _Several(dict):  # type: ignore[type-arg]
    """A unit may repeat a key: its values add up."""

    def __setitem__(self, key: str, value: object) -> None:
        if isinstance(value, list) and key in self and isinstance(self[key], list):
            self[key].extend(value)
        else:
            super().__setitem__(key, value)


def _service() -> dict[str, str]:
    unit = configparser.ConfigParser(strict=False, interpolation=None, dict_type=_Several)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(UNIT)
    return dict(unit["Service"])


def test_the_unit_gives_no_more_than_is_needed() -> None:
    service = _service()
    assert service["Type"] == "notify"
    assert service["User"] == "lineshaft"
    assert service["CapabilityBoundingSet"] == ""
    for name in ("NoNewPrivileges", "PrivateTmp", "ProtectHome", "RestrictSUIDSGID"):
        assert service[name] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert int(service["TimeoutStopSec"]) > 30  # the supervisor's own deadlines come first


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is missing")
    unit = tmp_path / "lineshaft.service"
    binary = "/opt/lineshaft/bin/lineshaft"
    unit.write_text(UNIT.read_text().replace(binary, "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)],
                          capture_output=True, text=True, check=False)  # fmt: skip
    said = [line for line in done.stderr.splitlines() if "lineshaft.service" in line]
    assert said == []


def test_the_platform_says_when_it_is_ready_and_when_it_stops(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.settimeout(60)
        environ = {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with running(tmp_path / "data", verb="up", environ=environ) as platform:
            assert ear.recv(100) == b"READY=1"
            assert "/sign-in/" not in platform.output
            platform.stop()
            assert ear.recv(100) == b"STOPPING=1"
