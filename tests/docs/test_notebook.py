"""The notebook runs, cell after cell, and says what it shows."""

import ast
import asyncio
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

from tests.web.conftest import House

NOTEBOOK = Path(__file__).parents[2] / "docs" / "how-to" / "notebook.ipynb"


def run_cell(source: str, names: dict[str, Any], where: str) -> str:
    """Run a cell as a notebook does; return what it prints, or its last expression."""
    tree = ast.parse(source, where)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, where, "exec"), names)
        value = None
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), where, "eval"), names)
    return printed.getvalue() + ("" if value is None else repr(value))


def _shown(cell: dict[str, Any]) -> str:
    return "".join(
        "".join(output.get("text") or output["data"]["text/plain"]) for output in cell["outputs"]
    )


async def test_every_cell_runs_and_shows_what_it_says(
    house: House, reactor: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINESHAFT_URL", house.url)
    monkeypatch.setenv("LINESHAFT_TOKEN", house.key)
    cells = [one for one in json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
             if one["cell_type"] == "code"]  # fmt: skip
    names: dict[str, Any] = {}
    checked = 0
    for number, cell in enumerate(cells, 1):
        where = f"{NOTEBOOK.name}, code cell {number}"
        told = await asyncio.to_thread(run_cell, "".join(cell["source"]), names, where)
        assert told.strip(), f"{where} shows nothing"
        if "checked" in cell["metadata"].get("tags", ()):
            assert told.strip() == _shown(cell).strip(), where
            checked += 1
    assert len(cells) >= 10 and checked >= 5
    assert len(names["frame"]) >= 1000 and len(names["raw"]) >= 500
