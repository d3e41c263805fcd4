"""The frame itself: the scripts parse, and an unlisted skip fails where CI says so."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

_TESTS = """\
import pytest
def test_good(): pass
def test_listed(): pytest.skip("no such tool")
def test_unlisted(): pytest.skip("no such tool")
@pytest.mark.skip(reason="not today")
def test_marked(): pass
@pytest.mark.xfail(reason="known")
def test_known(): assert False
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "SKIPS").write_text("# a note\n*::test_listed: this machine has no such tool\n")
    (tmp_path / "test_one.py").write_text(_TESTS)
    (tmp_path / "test_two.py").write_text('import pytest\npytest.importorskip("no_such_module")\n')
    return tmp_path


@pytest.mark.parametrize(
    ("ci", "outcome"),
    [("true", "1 failed, 1 passed, 1 skipped, 1 xfailed, 2 errors"),
     ("", "1 passed, 4 skipped, 1 xfailed")],
)  # fmt: skip
def test_a_skip_must_be_listed_where_ci_says_so(folder: Path, ci: str, outcome: str) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", str(folder),
               "--continue-on-collection-errors", "-c", os.devnull, str(folder)]  # fmt: skip
    environ = {**os.environ, "CI": ci}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60)
    assert outcome in done.stdout
    assert ("not named in tests/SKIPS" in done.stdout) == bool(ci)


def test_every_listed_skip_has_a_reason() -> None:
    lines = (ROOT / "tests" / "SKIPS").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert all(len(line.rpartition(": ")[2]) > 10 and ": " in line for line in rules)


@pytest.mark.parametrize(("shell", "script"), [("sh", "dev"), ("bash", ".ci/run")])
def test_the_scripts_parse(shell: str, script: str) -> None:
    done = subprocess.run([shell, "-n", ROOT / script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert os.access(ROOT / script, os.X_OK)


def test_dev_names_its_verbs() -> None:
    done = subprocess.run(["sh", ROOT / "dev", "help"], capture_output=True, text=True, cwd="/")
    assert done.returncode == 0
    assert all(f"./dev {verb} " in done.stdout for verb in ("run", "test", "lint", "lock"))
    assert subprocess.run(["sh", ROOT / "dev", "nonsense"], capture_output=True).returncode == 2
