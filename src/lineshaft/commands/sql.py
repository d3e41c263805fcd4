"""`lineshaft sql "SELECT …"`: a query over a snapshot, as a table for people or for programs."""

import json
import sys
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from lineshaft.commands.calls import AsJson, ConfigFile, DataFolder, Port, fetch, read_settings
from lineshaft.core.errors import Refused

__all__ = ["sql"]


def sql(
    query: Annotated[str, typer.Argument(help="one SELECT; `SHOW TABLES`, `DESCRIBE samples`")],
    limit: Annotated[int, typer.Option(help="most rows")] = 1000,
    as_csv: Annotated[bool, typer.Option("--csv", help="print CSV")] = False,
    as_arrow: Annotated[bool, typer.Option("--arrow", help="write an Arrow stream")] = False,
    config: ConfigFile = None,
    data: DataFolder = None,
    port: Port = None,
    as_json: AsJson = False,
) -> None:
    """Ask in SQL: tables samples, signals, facts, sources, gaps."""
    if as_csv + as_arrow + as_json > 1:
        raise Refused("more than one form is asked for", hint="Take one of --json, --csv, --arrow",
                      code="sql.format")  # fmt: skip
    if as_arrow and sys.stdout.isatty():
        raise Refused("Arrow is not for a terminal", hint="Add > result.arrow", code="sql.format")
    settings, _ = read_settings(config, data, port)
    format = "csv" if as_csv else "arrow" if as_arrow else "json"
    body = {"query": query, "limit": limit, "format": format}
    content = fetch(settings, "sql", body)
    if as_csv or as_arrow or as_json:
        sys.stdout.buffer.write(content + (b"\n" if as_json else b""))
        return
    _show(json.loads(content))


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    stamps = set()
    for column in found["columns"]:
        is_number = column["type"].startswith(("int", "uint", "double", "float", "decimal"))
        table.add_column(escape(column["name"]), justify="right" if is_number else "left")
        stamps |= {column["name"]} if column["type"].startswith("timestamp") else set()
    for row in found["rows"]:
        cells = [_cell(value, name in stamps) for name, value in row.items()]
        table.add_row(*(escape(cell) for cell in cells))
    width = None if sys.stdout.isatty() else 1000
    Console(width=width, soft_wrap=width is not None).print(table)
    if not found["is_whole"]:
        typer.echo(f"the first {len(found['rows']):,} rows; --limit gives more", err=True)


def _cell(value: Any, is_stamp: bool) -> str:
    if value is None:
        return "-"
    if is_stamp:
        return datetime.fromtimestamp(value / 1e6, UTC).isoformat(timespec="milliseconds")
    if isinstance(value, float):
        return f"{value:.6g}"
    # What a machine names itself must not steer the terminal.
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else "�" for char in text)
