"""What the command line says before anything runs: settings, bad folders, taken ports."""

import json
import socket
from pathlib import Path

import pytest

from tests.end_to_end.platform import lineshaft


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a folder without a settings file of its own."""
    monkeypatch.chdir(tmp_path)


def test_check_shows_each_setting_and_where_it_comes_from(tmp_path: Path) -> None:
    (tmp_path / "lineshaft.toml").write_text("[http]\nport = 8500\n[history]\ncommit_s = 5\n")
    done = lineshaft("check", "--json", LINESHAFT__HISTORY__COMMIT_S="7.5")
    assert done.returncode == 0, done.stderr
    listed = {one["name"]: (one["value"], one["origin"]) for one in json.loads(done.stdout)}
    assert listed["http.port"] == (8500, "lineshaft.toml")
    assert listed["history.commit_s"] == (7.5, "LINESHAFT__HISTORY__COMMIT_S")
    assert listed["plant.kind"] == ("auto", "default")
    told = lineshaft("check")
    assert told.returncode == 0
    assert all(name in told.stdout for name in listed)


def test_a_setting_on_the_command_line_wins(tmp_path: Path) -> None:
    (tmp_path / "lineshaft.toml").write_text('[platform]\ndata = "a"\n')
    done = lineshaft("check", "--json", "--data", "b")
    listed = {one["name"]: one["value"] for one in json.loads(done.stdout)}
    assert listed["platform.data"] == "b"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[http]\nprot = 1\n", ("unknown setting 'http.prot'", "Did you mean 'http.port'?")),
        ("[htp]\nport = 1\n", ("unknown setting 'htp.port'", "Did you mean 'http.port'?")),
        ("port = 1\n", ("unknown setting 'port'", "sections")),
        ("[http]\nport = 'x'\n", ("'http.port'", "'x'", "type int")),
        ("[http]\nport = 99999\n", ("'http.port'", "between 1 and 65535")),
        ("[http]\nhost = '0.0.0.0'\n", ("'http.host'", "http.names")),
        ("[plant]\nkind = 'nuclear'\n", ("'plant.kind'", "tep")),
        ("[platform]\nsite = 'Über uns'\n", ("'platform.site'", "a-z")),
        ("[http\n", ("is not TOML",)),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    tmp_path: Path, content: str, said: tuple[str, ...]
) -> None:
    (tmp_path / "lineshaft.toml").write_text(content)
    done = lineshaft("check")
    assert done.returncode == 2
    assert all(part in done.stderr for part in said), done.stderr
    assert "Traceback" not in done.stderr and done.stderr.count("\n") == 1


def test_with_a_setting_that_cannot_be_nothing_starts(tmp_path: Path) -> None:
    (tmp_path / "lineshaft.toml").write_text("[http]\nprot = 1\n")
    done = lineshaft("demo")
    assert done.returncode == 2 and "Did you mean 'http.port'?" in done.stderr
    assert not (tmp_path / ".lineshaft").exists()


def test_an_unknown_setting_of_the_environment_is_refused() -> None:
    done = lineshaft("check", LINESHAFT__HTTP__PROT="1")
    assert done.returncode == 2
    assert "LINESHAFT__HTTP__PROT" in done.stderr and "http.port" in done.stderr


def test_a_settings_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    done = lineshaft("check", "--config", "none.toml")
    assert done.returncode == 2 and "none.toml" in done.stderr


def test_a_taken_port_is_refused_with_another(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = lineshaft("demo", "--data", "d", "--port", str(port))
    assert done.returncode == 2
    assert str(port) in done.stderr and f"--port {port + 1}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "holiday.jpg").write_text("dear")
    for more in ([], ["--reset"]):
        done = lineshaft("demo", "--data", str(folder), *more)
        assert done.returncode == 2 and "not ours" in done.stderr
    assert [file.name for file in folder.iterdir()] == ["holiday.jpg"]
    assert (folder / "holiday.jpg").read_text() == "dear"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "d").write_text("not a folder")
    done = lineshaft("demo", "--data", "d")
    assert done.returncode in {1, 2} and "Traceback" not in done.stderr, done.stderr
    assert (tmp_path / "d").read_text() == "not a folder"


@pytest.mark.parametrize("command", [["last"], ["link"], ["query", "x"], ["probe", "opc.tcp://x"]])
def test_without_a_platform_the_reading_commands_say_so(tmp_path: Path, command: list[str]) -> None:
    done = lineshaft(*command, "--data", "none")
    assert done.returncode == 2
    assert "no platform has run" in done.stderr and "lineshaft demo" in done.stderr
    assert not (tmp_path / "none").exists()


def test_a_port_in_use_by_somebody_else_is_told(tmp_path: Path) -> None:
    (tmp_path / "d" / "keys").mkdir(parents=True)
    (tmp_path / "d" / "keys" / "platform.key").write_text("key")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
    done = lineshaft("last", "--data", "d", "--port", str(port))
    assert done.returncode == 1
    assert f"no platform answers at port {port}" in done.stderr and "--port" in done.stderr
