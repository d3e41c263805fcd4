"""An upgrade is rehearsed on a copy; the golden database of version 0001 proves the whole way."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import lineshaft.records.migrate as steps
from lineshaft.bus.server import free_port
from lineshaft.core.errors import Broken, Refused
from lineshaft.keep.upgrade import upgrade
from lineshaft.records import open_records
from lineshaft.records.migrate import HEAD, version_of
from lineshaft.rooms.history.store import Catalogue
from tests.end_to_end.platform import lineshaft, running

GOLDEN = Path(__file__).parent / "golden" / "records-0001.sqlite"
ROWS = {"signals": 5, "sources": 1, "source_nodes": 4, "source_gaps": 1, "streams": 2, "files": 3,
        "checkpoints": 3, "last_values": 1, "facts": 2, "sessions": 1}  # fmt: skip


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return Path(shutil.copyfile(GOLDEN, tmp_path / "records.sqlite"))


def _counts(file: Path) -> dict[str, int]:
    with closing(sqlite3.connect(file)) as connection:
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0]
                for name in ROWS}  # fmt: skip


def test_the_first_version_comes_to_the_present_one_with_every_row(old: Path) -> None:
    before = upgrade(old)
    assert version_of(old) == HEAD
    assert _counts(old) == ROWS | {"sessions": 0}  # people sign in again
    assert before == old.with_name("records.before-0001.sqlite")
    assert _counts(before) == ROWS
    engine = open_records(old)
    row, files = Catalogue(engine, "DATA_north").files()
    engine.dispose()
    assert row is not None
    assert (row.rows, row.last.position) == (1000, 200)
    assert [file.rows for file in files] == [301, 302, 303]
    assert {p.name for p in old.parent.glob("*rehearsal*")} == set()


@pytest.mark.parametrize(
    "step",
    ["op.execute('DELETE FROM source_nodes WHERE sid = 2')", "op.drop_table('facts')",
     "op.execute('SELECT nothing FROM nowhere')"],
)  # fmt: skip
def test_a_rehearsal_that_fails_changes_nothing(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    scripts = tmp_path / "migrations"
    shutil.copytree(steps._SCRIPTS, scripts)
    newest = sorted((scripts / "versions").glob("[0-9]*.py"))[-1].name[:4]
    (scripts / "versions" / "9000_bad.py").write_text(
        f'from alembic import op\nrevision = "9000"\ndown_revision = "{newest}"\n'
        f"def upgrade() -> None:\n    {step}\n"
    )
    monkeypatch.setattr(steps, "_SCRIPTS", scripts)
    for module in ("lineshaft.records.migrate.HEAD", "lineshaft.keep.upgrade.HEAD"):
        monkeypatch.setattr(module, "9000")
    content = old.read_bytes()
    with pytest.raises(Broken, match="fails on a copy") as caught:
        upgrade(old)
    assert "Nothing was changed" in caught.value.hint
    assert old.read_bytes() == content
    assert {p.name for p in old.parent.glob("records*")} == {"records.sqlite"}


def test_a_later_version_is_refused(old: Path) -> None:
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(Refused, match=f"version 9999, this program knows {HEAD}"):
        upgrade(old)


def test_a_start_on_a_database_that_cannot_be_upgraded_ends_with_a_sentence(old: Path) -> None:
    """The folder of a later version: the start says so and leaves it alone."""
    folder = old.parent
    (folder / "lineshaft.folder").write_text("")
    with closing(sqlite3.connect(old)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    content = old.read_bytes()
    done = lineshaft("up", "--data", str(folder), "--port", str(free_port()))
    assert done.returncode == 1, done.stderr
    assert "version 9999" in done.stderr
    assert "Traceback" not in done.stderr
    assert old.read_bytes() == content


@pytest.mark.long
def test_a_platform_starts_on_the_first_version_and_keeps_the_state_before_once(old: Path) -> None:
    folder = old.parent
    (folder / "lineshaft.folder").write_text("")
    before = folder / "records.before-0001.sqlite"
    with running(folder, verb="up") as house:
        assert len(house.signals()) == 4
        assert before.exists()
        house.stop()
        house.start()
        assert len(house.signals()) == 4
        assert not before.exists()
