"""`lineshaft twins` and `lineshaft whatif`: machines mirrored or proposed, and what if."""

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
_WAIT_S: Final = 5


def twins(
    draft: Annotated[
        str | None,
        typer.Option("--draft", metavar="MACHINE", help="propose twins of a machine, by its path"),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="of the period to learn from: 2026-01-31T08:00Z")
    ] = None,
    to: Annotated[str | None, typer.Option(help="end of that period")] = None,
    make: Annotated[
        int, typer.Option(metavar="N", min=0, help="make a twin of the draft of that number")
    ] = 0,
    config: ConfigFile = None,
    data: DataFolder = None,
    port: Port = None,
    as_json: AsJson = False,
) -> None:
    """List twins, furthest from their machines first; or propose some of a machine."""
    settings, _ = read_settings(config, data, port)
    if draft is not None:
        _draft(settings, {"machine": draft, "from": moment_us(start), "to": moment_us(to)}, make,
               as_json=as_json)  # fmt: skip
        return
    if make or start or to:
        raise Refused("--from, --to and --make belong to --draft", code="twin.draft",
                      hint="Name a machine: --draft acme/north/hall/line-1/pump")  # fmt: skip
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


def _draft(settings: Settings, asked: dict[str, Any], make: int, *, as_json: bool) -> None:
    """Propose twins of a machine and print them line by line; make one of them where asked."""
    answer = call(settings, "twins/draft", {**asked, "wait_s": 0})
    while answer["state"] != "done":
        if answer["total"] and sys.stderr.isatty():
            typer.echo(f"fitted {answer['done']} of {answer['total']} candidates", err=True)
        answer = call(settings, f"twins/draft/{answer['id']}", wait_s=_WAIT_S)
    drafts = answer["drafts"]
    if make > len(drafts):
        raise Refused(f"there are {len(drafts)} drafts, no number {make}", code="twin.draft",
                      hint="The surest is number 1")  # fmt: skip
    if make:
        answer["made"] = call(settings, "twins", drafts[make - 1]["twin"])
    if as_json:
        typer.echo(json.dumps(answer))
        return
    for number, one in enumerate(drafts, 1):
        sure, told = (f"{100 * one[name]:.0f} %" for name in ("confidence", "told"))
        twin = one["twin"]
        typer.echo(f"{number}. {twin['name']}: {twin['behaviour']}, {sure} sure, foretells {told}")
        rows = [
            [line["name"], line["value"] if isinstance(line["value"], str)
             else f"{line['value']:.6g} {line['unit']}".rstrip(),
             f"{100 * line['confidence']:.0f} %", line["why"]]
            for line in one["fields"]
        ]  # fmt: skip
        _show(("line", ">value", ">sure", "why"), rows)
    if make:
        typer.echo(f"made {answer['made']['id']} {answer['made']['name']}", err=True)


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
