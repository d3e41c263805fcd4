"""`lineshaft twins` and `lineshaft whatif`: machines mirrored, and what would happen if."""

import json
import math
import sys
from typing import Annotated, Any, Final

import typer

from lineshaft.clock import now_us
from lineshaft.commands.calls import (
    AsJson,
    ConfigFile,
    DataFolder,
    Port,
    call,
    duration_us,
    find_signals,
    moment_us,
    read_settings,
)  # fmt: skip
from lineshaft.core.errors import Refused
from lineshaft.settings import Settings

__all__ = ["twins", "whatif"]

_QUARTERS: Final = (0.25, 0.5, 0.75, 1.0)


def twins(
    config: ConfigFile = None, data: DataFolder = None, port: Port = None, as_json: AsJson = False
) -> None:
    """List twins, furthest from their machines first."""
    settings, _ = read_settings(config, data, port)
    found = call(settings, "twins")["twins"]
    found.sort(key=lambda one: -1.0 if one["score"] is None else one["score"], reverse=True)
    if as_json:
        typer.echo(json.dumps(found))
        return
    if not found:
        typer.echo("no machine is mirrored yet; see the page Twins of the console", err=True)
        return
    now = now_us()
    rows = [
        [one["id"], one["name"], one["machine"], one["behaviour"], one["state"],
         "-" if one["score"] is None else f"{one['score']:.1f}",
         "-" if one["at"] is None else f"{max(0, now - one['at']) / 1e6:,.0f} s"]
        for one in found
    ]  # fmt: skip
    _show(("id", "name", "machine", "behaviour", "state", ">score", ">age"), rows)


def whatif(
    names: Annotated[list[str], typer.Argument(metavar="TWIN…", help="names or ids of twins")],
    horizon: Annotated[str, typer.Option(help="how far ahead in plant time: 90s, 15m, 8h")] = "1h",
    at: Annotated[str | None, typer.Option(help="a past moment: 2026-01-31T08:00Z")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="SIGNAL=VALUE[@SECONDS]", help="signal by sid or path"),
    ] = None,
    futures: Annotated[int, typer.Option(help="how many are drawn for a band")] = 100,
    config: ConfigFile = None,
    data: DataFolder = None,
    port: Port = None,
    as_json: AsJson = False,
) -> None:
    """Say what would happen if signals changed, beside what happens if nothing does."""
    settings, _ = read_settings(config, data, port)
    listed = call(settings, "twins")["twins"]
    chosen = [_twin(listed, name) for name in names]
    asked: list[dict[str, Any]] = [{"name": "as it is"}]
    if changes:
        wanted = [_change(settings, text) for text in changes]
        asked.append({"name": "changed", "changes": wanted})
    body = {"twins": [one["id"] for one in chosen], "futures": asked, "count": futures,
            "horizon_s": duration_us(horizon) / 1e6, "at": moment_us(at)}  # fmt: skip
    answer = call(settings, "twins/whatif", body)
    if as_json:
        typer.echo(json.dumps(answer))
        return
    named = {one["id"]: one["name"] for one in chosen}
    times = answer["times"]
    columns = [round(share * (len(times) - 1)) for share in _QUARTERS]
    head = [f">{times[k]:,.0f} s" for k in columns]
    rows = [
        [f"{named[band['twin']]}: {band['output']}", future["name"],
         *(f"{band['middle'][k]:.6g}" for k in columns),
         f"{band['low'][-1]:.6g} … {band['high'][-1]:.6g}"]
        for future in answer["futures"] for band in future["outputs"]
    ]  # fmt: skip
    _show(("output", "future", *head, ">90 % at the end"), rows)


def _twin(listed: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Return the one twin of this id or name."""
    found = [one for one in listed if name in (one["id"], one["name"])]
    if len(found) != 1:
        raise Refused(f"{len(found) or 'no'} twins are called '{name}'", code="twin.unknown",
                      hint="Give the id that `lineshaft twins` prints")  # fmt: skip
    return found[0]


def _change(settings: Settings, text: str) -> dict[str, Any]:
    """Read SIGNAL=VALUE[@SECONDS]."""
    signal, _, rest = text.partition("=")
    value, _, after = rest.partition("@")
    try:
        change = {"value": float(value), "at_s": float(after or 0)}
    except ValueError:
        change = {}
    if not signal or not change or not all(map(math.isfinite, change.values())):
        raise Refused(f"'{text}' is no change", code="twin.whatif",
                      hint="Write SIGNAL=VALUE or SIGNAL=VALUE@SECONDS: 17=80@600")  # fmt: skip
    if signal.isdigit():
        return {"sid": int(signal), **change}
    found = find_signals(settings, signal)
    sids = [sid for sid, one in found.items() if one["path"] == signal]
    if not sids:
        raise Refused(f"no signal has the path '{signal}'", code="signal.unknown",
                      hint="`lineshaft last` lists all")  # fmt: skip
    return {"sid": sids[0], **change}


def _show(head: tuple[str, ...], rows: list[list[str]]) -> None:
    """Print a table; a head that begins with > stands over figures."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for name in head:
        table.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left")
    for row in rows:
        table.add_row(*map(escape, row))
    width = None if sys.stdout.isatty() else 1000
    Console(width=width, soft_wrap=width is not None).print(table)
