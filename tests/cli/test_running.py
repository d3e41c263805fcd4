"""The command line beside a running demo, and how that ends."""

import csv
import io
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from tests.end_to_end.platform import Platform, lineshaft, running, until

PREFIX = "lineshaft/demo/chem/wo"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("cli") / "data"
    with running(folder, "--plant", "williams-otto") as platform:
        platform.wait_connected()
        yield platform


def run(platform: Platform, *arguments: str) -> Any:
    done = lineshaft(*arguments, "--data", str(platform.folder), "--port", str(platform.port))
    assert "Traceback" not in done.stderr
    return done


def test_the_start_says_what_comes_up_and_how_to_sign_in(platform: Platform) -> None:
    until("the first value is told", lambda: "first value was kept" in platform.output)
    assert f"{platform.url}/#/sign-in/" in platform.output
    assert str(platform.folder) in platform.output
    assert platform.key not in platform.output


def test_last_prints_the_newest_values(platform: Platform) -> None:
    rows = json.loads(run(platform, "last", PREFIX, "--json").stdout)
    signals = platform.signals()
    made = {"twin", "decide"}  # the demo's own twins and loop, which may have told nothing yet
    measured = {path for path, signal in signals.items() if signal["source"] not in made}
    assert measured <= {row["path"] for row in rows} <= set(signals)
    for row in [row for row in rows if row["path"] in measured]:
        assert row["unit"] == signals[row["path"]]["unit"]
        assert (row["quality"], row["time"][-6:]) == ("good", "+00:00")
    told = run(platform, "last", f"{PREFIX}/plant").stdout.splitlines()
    assert len(told) >= sum(path.startswith(f"{PREFIX}/plant/") for path in measured)
    assert any(f"{PREFIX}/plant/counter" in line for line in told)


def test_query_gives_csv_json_and_arrow(platform: Platform, tmp_path: Path) -> None:
    path = f"{PREFIX}/plant/counter"
    done = run(platform, "query", path, "--last", "15m")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    counts = [float(row["value"]) for row in rows]
    assert {row["path"] for row in rows} == {path} and counts == sorted(counts) and counts
    columns = json.loads(run(platform, "query", path, "--last", "15m", "--json").stdout)
    assert len(columns["v"]) >= len(counts)
    file = tmp_path / "rows.arrow"
    done = run(platform, "query", path, "--format", "arrow", "--output", str(file))
    assert done.returncode == 0 and "bytes written" in done.stderr
    table = pa.ipc.open_stream(file.read_bytes()).read_all()
    assert table.num_rows >= len(counts)


def test_probe_names_endpoints_and_certificate(platform: Platform) -> None:
    endpoint = platform.source()["endpoint"]
    found = json.loads(run(platform, "probe", endpoint, "--json").stdout)
    assert [(e["policy"], e["mode"]) for e in found["endpoints"]] == [
        ("Basic256Sha256", "SignAndEncrypt")
    ]
    assert found["certificate"]["trusted"] is True
    told = run(platform, "probe", endpoint).stdout
    assert "Basic256Sha256 SignAndEncrypt" in told and ": trusted" in told
    done = run(platform, "probe", "opc.tcp://127.0.0.1:1")
    assert done.returncode != 0 and done.stderr.count("\n") == 1


def test_link_signs_in(platform: Platform) -> None:
    link = run(platform, "link").stdout.strip()
    assert link.startswith(f"{platform.url}/#/sign-in/")
    code = link.rpartition("/")[2]
    answer = httpx.post(
        f"{platform.url}/api/v1/session", json={"code": code}, headers={"X-Lineshaft": "1"}
    )
    assert answer.status_code == 204


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["last", "lineshaft/none"], "no signal begins with 'lineshaft/none'"),
        (["query", "lineshaft/none"], "no signal begins with"),
        (["query", PREFIX, "--last", "soon"], "'soon' is no duration"),
        (["query", PREFIX, "--format", "xml"], "format"),
        (["probe", "http://x"], "is no address of an OPC UA server"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(
    platform: Platform, arguments: list[str], said: str
) -> None:
    done = run(platform, *arguments)
    assert done.returncode == 2 and said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_second_instance_on_the_same_folder_is_turned_away(platform: Platform) -> None:
    before = platform.family()
    for more in ([], ["--reset"]):
        done = lineshaft("demo", "--data", str(platform.folder), *more)
        assert done.returncode == 2
        assert f"process {platform.pid}" in done.stderr and "Stop it first" in done.stderr
    assert platform.family() == before
    platform.wait_connected()


def test_a_killed_supervisor_leaves_no_process_and_a_new_start_works(platform: Platform) -> None:
    newest = platform.get("system")["stream"]["last_seq"]
    platform.kill()
    until("no process is left", lambda: not platform.left(), 20)
    platform.start()
    platform.wait_connected()
    assert platform.get("system")["stream"]["last_seq"] >= newest


def test_an_orderly_end_takes_less_than_ten_seconds_and_leaves_nothing(platform: Platform) -> None:
    headers = {"Authorization": f"Bearer {platform.key}"}
    with httpx.stream("GET", f"{platform.url}/api/v1/live", headers=headers) as page:
        next(page.iter_lines())  # a console that is open holds nothing up
        assert platform.stop() < 10
    assert platform.left() == []
    assert "everything accepted is on disk" in platform.output
    done = run(platform, "last")
    assert done.returncode == 1 and "no platform answers" in done.stderr


def test_reset_deletes_the_data_and_nothing_else_and_an_interrupt_ends(platform: Platform) -> None:
    if platform.alive():
        platform.stop()
    beside = platform.folder.parent / "beside"
    beside.write_text("stays")
    outside = platform.folder / "outside"
    outside.symlink_to(platform.folder.parent)
    key = platform.key
    with running(platform.folder, "--plant", "williams-otto", "--reset") as again:
        assert beside.read_text() == "stays" and not outside.is_symlink()
        assert again.key != key
        assert again.get("system")["stream"]["stored_rows"] == 0
        again.wait_connected()
        again.family()
        os.kill(again.pid, signal.SIGINT)
        until("it has ended", lambda: not again.alive(), 20)
        assert again.left() == []
