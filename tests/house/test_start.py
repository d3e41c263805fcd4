"""What a process may load before it does anything: the start of the platform is paid for in these.

The imports are read off `app.py`: those of a process's own function and of all that it calls there.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

APP = Path(__file__).parents[2] / "src" / "lineshaft" / "app.py"
_DEFINED = {
    node.name: node
    for node in ast.parse(APP.read_text("utf-8")).body
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
}
_NEVER = {"duckdb", "deltalake", "numba", "scipy", "pint", "pandas", "rich", "alembic", "openpyxl",
          "opentelemetry.sdk", "psycopg"}  # fmt: skip
_DOORS = {"fastapi", "pydantic", "granian"}
_MACHINES = {"asyncua", "cryptography"}
FORBIDDEN = {
    "run_web": _NEVER | {"asyncua"},
    "run_history": _NEVER | _DOORS | {"asyncua"},  # the ledger is signed there
    "run_decide": _NEVER | _DOORS | _MACHINES,
    "run_connect": _NEVER | _DOORS,
    "run_twins": _NEVER | _DOORS | _MACHINES,
    "run_plant": _NEVER | _DOORS | {"sqlalchemy"},
}


def _imports(name: str, seen: set[str]) -> list[str]:
    """Return the import statements of a function of `app.py` and of those that it mentions."""
    seen.add(name)
    found = []
    for node in ast.walk(_DEFINED[name]):
        if isinstance(node, ast.ImportFrom):
            found.append(ast.unparse(node))
        elif isinstance(node, ast.Name) and node.id in _DEFINED and node.id not in seen:
            found += _imports(node.id, seen)
    return found


def _loaded(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return set(done.stdout.split())


@pytest.mark.parametrize("name", FORBIDDEN)
def test_a_process_loads_at_its_start_what_it_needs(name: str) -> None:
    lines = ["import lineshaft.app as app, sys", "sys.meta_path.insert(0, app._WithoutPandas())"]
    imports = _imports(name, set())
    assert imports, "a process without imports: this test looks in the wrong place"
    assert _loaded("\n".join([*lines, *imports])) & FORBIDDEN[name] == set()


def test_the_supervisor_loads_nothing_heavy() -> None:
    loaded = _loaded("import lineshaft.cli, lineshaft.boot, lineshaft.processes")
    assert loaded & (_NEVER | _DOORS | _MACHINES | {"numpy", "pyarrow", "sqlalchemy"}) == set()
