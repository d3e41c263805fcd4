"""`lineshaft import` and `lineshaft export`: files in, ranges out, through the running platform."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from lineshaft.clock import now_us
from lineshaft.commands.calls import (
    AsJson,
    ConfigFile,
    DataFolder,
    Port,
    call,
    duration_us,
    moment_us,
    opened,
    read_settings,
)  # fmt: skip
from lineshaft.core.errors import Refused
from lineshaft.core.quality import describe
from lineshaft.settings import Settings

__all__ = ["export_samples", "import_samples"]

_POLL_S = 0.1
_PIECE = 1024 * 1024
_Advance = Callable[[str, float, float], None]


def import_samples(
    file: Annotated[Path, typer.Argument(help="CSV or Parquet", exists=True, dir_okay=False)],
    form: Annotated[Path | None, typer.Option(help="form as JSON, as --dry-run prints it")] = None,
    zone: Annotated[str | None, typer.Option(help="zone of local times: Europe/Berlin")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show, store nothing")] = False,
    skip_problems: Annotated[
        bool, typer.Option("--skip-problems", help="leave out what cannot be stored")
    ] = False,
    config: ConfigFile = None,
    data: DataFolder = None,
    port: Port = None,
    as_json: AsJson = False,
) -> None:
    """Import samples of a file; the form is guessed and shown."""
    settings, _ = read_settings(config, data, port)
    with _progress(as_json) as advance:
        found = _wait(settings, f"imports/{_upload(settings, file, advance)}", "checking", advance)
        if form or zone:
            changed = _read_form(form) if form else found["form"]
            if zone:
                changed["time"]["zone"] = zone
            call(settings, f"imports/{found['id']}/check", {"form": changed})
            found = _wait(settings, f"imports/{found['id']}", "checking", advance)
    if not as_json:
        _show(found)
    stop = dry_run or found["state"] == "failed" or (found["problems"] and not skip_problems)
    if stop:
        with opened(settings, f"imports/{found['id']}", method="DELETE"):
            pass
        if found["state"] == "failed":
            raise Refused(found["note"], code="import.failed")
        if not dry_run:
            raise Refused(f"{found['problems']} cells of {file.name} cannot be stored",
                          hint="Correct them or the form, or leave them out: --skip-problems",
                          code="import.problems")  # fmt: skip
    else:
        path = f"imports/{found['id']}"
        call(settings, f"{path}/start", {"skip_problems": skip_problems})
        with _progress(as_json) as advance:
            found = _wait(settings, path, "running", advance)
        if found["state"] != "done":
            raise Refused(f"import {found['id']} is {found['state']}: {found['note']}",
                          hint=f"POST /imports/{found['id']}/resume goes on",
                          code="import.failed")  # fmt: skip
    if as_json:
        typer.echo(json.dumps(found))
    elif not stop:
        typer.echo(f"{found['samples']:,} samples of {found['rows']:,} rows are stored")


def export_samples(
    prefix: Annotated[str, typer.Argument(help="path, or the beginning of one; empty: all")] = "",
    output: Annotated[Path, typer.Option("--output", "-o", help="folder")] = Path(),
    form: Annotated[str, typer.Option(help="csv, parquet, arrow or delta")] = "csv",
    layout: Annotated[str, typer.Option(help="long or wide")] = "long",
    folder: Annotated[bool, typer.Option("--folder", help="a Parquet file a day")] = False,
    since: Annotated[str | None, typer.Option("--last", help="how far back: 8h, 7d")] = None,
    start: Annotated[str | None, typer.Option("--from", help="2024-01-31T00:00Z")] = None,
    end: Annotated[str | None, typer.Option("--to", help="not included")] = None,
    as_of: Annotated[
        int | None, typer.Option("--as-of", help="rows as of this number; default: now")
    ] = None,
    config: ConfigFile = None,
    data: DataFolder = None,
    port: Port = None,
    as_json: AsJson = False,
) -> None:
    """Export samples into files."""
    settings, _ = read_settings(config, data, port)
    begin = now_us() - duration_us(since) if since else moment_us(start)
    asked = {"prefix": prefix, "from": begin, "to": moment_us(end), "form": form, "layout": layout,
             "folder": folder, "as_of": as_of}  # fmt: skip
    made = call(settings, "exports", asked)
    with _progress(as_json) as advance:
        done = _wait(settings, f"exports/{made['id']}", "running", advance)
        if done["state"] != "done":
            raise Refused(done["note"], code="export.failed")
        size = sum(one["size"] for one in done["files"])
        got = 0
        for one in done["files"]:
            target = output / one["name"]
            target.parent.mkdir(parents=True, exist_ok=True)
            path = f"exports/{made['id']}/files/{one['name']}"
            with opened(settings, path) as answer, target.open("wb") as file:
                while piece := answer.read(_PIECE):
                    got += file.write(piece)
                    advance("downloading", got, size)
    with opened(settings, f"exports/{made['id']}", method="DELETE"):
        pass
    if as_json:
        typer.echo(json.dumps(done))
    else:
        typer.echo(
            f"{done['rows']:,} rows, {size:,} bytes in {len(done['files'])} files of {output},"
            f" as of {done['as_of']}"
        )
        if done["note"]:
            typer.echo(done["note"], err=True)


class _Counted:
    """A file that tells how far it was read."""

    def __init__(self, file: IO[bytes], size: int, advance: _Advance) -> None:
        self._file, self._size, self._advance, self._done = file, size, advance, 0

    def read(self, size: int = -1) -> bytes:
        """Read on."""
        piece = self._file.read(size)
        self._done += len(piece)
        self._advance("uploading", self._done, self._size)
        return piece


def _upload(settings: Settings, path: Path, advance: _Advance) -> int:
    size = path.stat().st_size
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
    with path.open("rb") as file:
        counted: Any = _Counted(file, size, advance)
        with opened(settings, "imports", counted, headers, name=path.name) as answer:
            return int(json.loads(answer.read())["id"])


def _wait(settings: Settings, path: str, passing: str, advance: _Advance) -> Any:
    while True:
        found = call(settings, path)
        total = found.get("rows_total") or found.get("days") or 0
        done = found["days_done"] if "days" in found else found["rows"]
        advance(found["note"] or passing, done, total)
        if found["state"] != passing:
            return found
        time.sleep(_POLL_S)


def _show(found: dict[str, Any]) -> None:
    form, summary = found["form"], found["summary"]
    if form:
        time_ = form["time"]
        typer.echo(f"{found['name']}: {form['file']}, {form['layout']}; time '{time_['column']}'"
                   f" as {time_['format']} ({time_['zone']})")  # fmt: skip
        for note in form["notes"]:
            typer.echo(f"  note: {note}")
    if not summary:
        return
    typer.echo(f"  {summary['rows']:,} rows, {summary['samples']:,} samples of"
               f" {summary['signals']:,} signals ({summary['new']:,} new),"
               f" {_time(summary['first'])} to {_time(summary['last'])}")  # fmt: skip
    for row in summary["head"][:5]:
        shown = row["s"] if row["v"] is None else row["v"]
        unit, mark = row["unit"], describe(row["q"])
        typer.echo(f"    {_time(row['ts'])}  {row['path']}  {shown} {unit}  {mark}")
    for one in summary["told"][:20]:
        typer.echo(f"  line {one['line']}: {one['text']}", err=True)
    if summary["problems"] > 20:
        typer.echo(f"  and {summary['problems'] - 20:,} more problems", err=True)


def _read_form(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text("utf-8"))
        form: dict[str, Any] = content.get("form") or content
        form["time"]["zone"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"{path} holds no form of a file: {error}", code="import.form",
                      hint="`import FILE --dry-run --json` prints one") from error  # fmt: skip
    return form


def _time(ts: int | None) -> str:
    if ts is None:
        return "-"
    return datetime.fromtimestamp(ts / 1e6, UTC).isoformat(timespec="milliseconds")


@contextmanager
def _progress(quiet: bool) -> Iterator[_Advance]:
    """Show one bar on the terminal; nothing for programs."""
    from rich import progress
    from rich.console import Console

    columns = (progress.TextColumn("{task.description:<24}"), progress.BarColumn(),
               progress.TaskProgressColumn(), progress.TimeRemainingColumn())  # fmt: skip
    console = Console(stderr=True)
    with progress.Progress(*columns, console=console, transient=True,
                           disable=quiet or not console.is_terminal) as shown:  # fmt: skip
        bar = shown.add_task("")

        def advance(what: str, done: float, total: float) -> None:
            shown.update(bar, description=what, completed=done, total=total or None)

        yield advance
