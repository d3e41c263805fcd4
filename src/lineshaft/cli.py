"""The command line: `lineshaft demo | up | check | link | people | token | last | query` and more.

On the platform's own machine it signs in by the data folder's key. Commands that read take
`--json`. Exit codes: 0 done, 1 the world failed, 2 the request cannot be.
"""

import asyncio
import json
import signal
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from lineshaft import __version__
from lineshaft.clock import monotonic_s, now_us
from lineshaft.commands.backup import backup, restore
from lineshaft.commands.calls import (
    AsJson,
    ConfigFile,
    DataFolder,
    Port,
    call,
    duration_us,
    fetch,
    find_signals,
    read_settings,
)  # fmt: skip
from lineshaft.commands.doctor import doctor
from lineshaft.commands.exchange import export_samples, import_samples
from lineshaft.commands.ledger import ledger
from lineshaft.commands.loops import loops
from lineshaft.commands.people import ca, explain_doors, people, token
from lineshaft.commands.sql import sql
from lineshaft.commands.twins import twins, whatif
from lineshaft.core.errors import Broken, LineshaftError, Refused
from lineshaft.notify import tell_systemd
from lineshaft.settings import Settings

__all__ = ["main"]

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Lineshaft, one line shaft.")
app.command()(backup)
app.command()(restore)
app.command()(doctor)
app.command()(sql)
app.command()(twins)
app.command()(whatif)
app.command()(ca)
app.add_typer(people, name="people")
app.add_typer(token, name="token")
app.add_typer(loops, name="loops")
app.add_typer(ledger, name="ledger")
app.command("import")(import_samples)
app.command("export")(export_samples)


@app.command()
def demo(
    config: ConfigFile = None,
    data: DataFolder = None,
    port: Port = None,
    speed: Annotated[float | None, typer.Option(help="plant speed: 1, 60 or 1800")] = None,
    plant: Annotated[str | None, typer.Option(help="tep or williams-otto")] = None,
    reset: Annotated[bool, typer.Option("--reset", help="start afresh: delete all data")] = False,
) -> None:
    """Run the platform with a simulated chemical plant."""
    settings, _ = read_settings(config, data, port, PLANT__SPEED=speed, PLANT__KIND=plant)
    _run(settings, demo=True, reset=reset)


@app.command()
def up(config: ConfigFile = None, data: DataFolder = None, port: Port = None) -> None:
    """Run the platform for your own machines."""
    settings, _ = read_settings(config, data, port)
    _run(settings, demo=False, reset=False)


@app.command()
def check(config: ConfigFile = None, data: DataFolder = None, as_json: AsJson = False) -> None:
    """Print the effective settings and where each comes from."""
    settings, listed = read_settings(config, data)
    if as_json:
        typer.echo(
            json.dumps([{"name": e.name, "value": e.value, "origin": e.origin} for e in listed])
        )
        return
    width = max(len(e.name) for e in listed)
    for e in listed:
        typer.echo(f"{e.name:<{width}}  {e.value!s:<16} {e.origin:<24} {e.doc}")
    typer.echo(f"\n{explain_doors(settings)}")


@app.command()
def link(config: ConfigFile = None, data: DataFolder = None, port: Port = None) -> None:
    """Print a new sign-in link of the running platform."""
    settings, _ = read_settings(config, data, port)
    typer.echo(_sign_in_link(settings))


@app.command()
def last(
    prefix: Annotated[str, typer.Argument(help="path, or the beginning of one")] = "",
    config: ConfigFile = None,
    data: DataFolder = None,
    port: Port = None,
    as_json: AsJson = False,
) -> None:
    """Print the newest values."""
    settings, _ = read_settings(config, data, port)
    signals = find_signals(settings, prefix)
    values = call(settings, "last", sid=",".join(map(str, signals)))
    rows = _rows(values, signals)
    if as_json:
        typer.echo(json.dumps(rows))
        return
    for row in rows:
        shown = _shown(row)
        mark = "" if row["quality"] == "good" else f"  ({row['quality']})"
        typer.echo(f"{row['time']}  {row['path']:<60} {shown:>14} {row['unit']}{mark}")


@app.command()
def query(
    path: Annotated[str, typer.Argument(help="path, or the beginning of one")],
    since: Annotated[str, typer.Option("--last", help="how far back: 90s, 15m, 8h, 7d")] = "1h",
    format: Annotated[str, typer.Option(help="csv, arrow or json")] = "csv",
    output: Annotated[Path | None, typer.Option(help="file; default: standard output")] = None,
    config: ConfigFile = None,
    data: DataFolder = None,
    port: Port = None,
    as_json: AsJson = False,
) -> None:
    """Print or save the samples of a time range."""
    settings, _ = read_settings(config, data, port)
    signals = find_signals(settings, path)
    start = now_us() - duration_us(since)
    kind = "json" if as_json else format
    content = fetch(
        settings, "raw", sid=",".join(map(str, signals)), **{"from": start}, format=kind
    )
    if output:
        output.write_bytes(content)
        typer.echo(f"{len(content):,} bytes written to {output}", err=True)
    else:
        sys.stdout.buffer.write(content)


@app.command()
def probe(
    endpoint: Annotated[str, typer.Argument(help="opc.tcp://host:port")],
    config: ConfigFile = None,
    data: DataFolder = None,
    port: Port = None,
    as_json: AsJson = False,
) -> None:
    """Ask an OPC UA server for its endpoints and certificate (needs the platform running)."""
    settings, _ = read_settings(config, data, port)
    found = call(settings, "opcua/probe", {"endpoint": endpoint})
    if as_json:
        typer.echo(json.dumps(found))
        return
    for offer in found["endpoints"]:
        tokens = ", ".join(offer["tokens"])
        typer.echo(f"{offer['url']}  {offer['policy']} {offer['mode']}  sign-in: {tokens}")
    certificate = found["certificate"]
    if certificate:
        trust = "trusted" if certificate["trusted"] else "not trusted"
        typer.echo(f"certificate {certificate['thumbprint']} ({certificate['subject']}): {trust}")


def _rows(values: dict[str, Any], signals: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    from lineshaft.core.quality import describe

    rows = zip(*(values[name] for name in ("sid", "ts", "v", "s", "q")), strict=True)
    made = [
        {
            "path": signals[sid]["path"],
            "time": datetime.fromtimestamp(ts / 1e6, UTC).isoformat(timespec="milliseconds"),
            "value": value,
            "text": text,
            "kind": signals[sid]["kind"],
            "decimals": signals[sid]["decimals"],
            "unit": signals[sid]["unit"],
            "quality": describe(quality),
        }
        for sid, ts, value, text, quality in rows
    ]
    return sorted(made, key=lambda row: str(row["path"]))


def _shown(row: dict[str, Any]) -> str:
    value = row["value"]
    if row["text"] is not None or value is None:
        return row["text"] or "-"
    if row["kind"] == "bool":
        return "true" if value else "false"
    if row["kind"] == "int":
        return f"{value:.0f}"
    return f"{value:.6g}" if row["decimals"] is None else f"{value:.{row['decimals']}f}"


def _sign_in_link(settings: Settings) -> str:
    code = call(settings, "session/code", {})["code"]
    return f"{settings.http.url}/#/sign-in/{code}"


def _run(settings: Settings, *, demo: bool, reset: bool) -> None:
    from lineshaft.boot import boot

    with boot(settings, demo=demo, reset=reset, say=_say) as ready:
        asyncio.run(_supervise(settings, ready.commands, demo=ready.plan.demo))


async def _supervise(settings: Settings, commands: Any, *, demo: bool) -> None:
    from lineshaft.processes import Supervisor

    stop = asyncio.Event()

    def end() -> None:
        tell_systemd("STOPPING=1")
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, end)
    greeter = asyncio.ensure_future(_greet(settings, demo=demo))
    try:
        await Supervisor(settings.folder, commands).run(stop)
    finally:
        greeter.cancel()
        _say("stopped; everything accepted is on disk")


async def _greet(settings: Settings, *, demo: bool) -> None:
    """Say what comes up as it does, and the sign-in link as soon as the door is open."""
    began = monotonic_s()

    def since() -> str:
        return f"{monotonic_s() - began:.1f} s"

    _say(f"Lineshaft {__version__} starts; data in {settings.folder}")
    link = await _patiently(lambda: _sign_in_link(settings))
    if tell_systemd("READY=1"):  # a journal is kept, and read by others: no link in it
        _say(f"doors open after {since()}; `lineshaft link` prints a sign-in link")
        return
    _say(f"doors open after {since()}. Open this link to sign in (it works once):\n\n    {link}\n")
    if demo:
        await _patiently(lambda: _first_value(settings))
        _say(f"the plant's first value was kept after {since()}")
    _say("Ctrl-C ends; `lineshaft link` prints a new sign-in link")


def _first_value(settings: Settings) -> None:
    signals = find_signals(settings, "")
    if not call(settings, "last", sid=",".join(map(str, signals)))["sid"]:
        raise Broken("no value yet")


async def _patiently(call: Callable[[], T]) -> T:
    while True:
        try:
            return await asyncio.to_thread(call)
        except LineshaftError:
            await asyncio.sleep(0.1)


def _say(text: str) -> None:
    typer.echo(text)


def main() -> None:
    """Run the command line; errors become one sentence and an exit code."""
    try:
        app()
    except Refused as error:
        typer.echo(f"lineshaft: {error}", err=True)
        sys.exit(2)
    except LineshaftError as error:
        typer.echo(f"lineshaft: {error}", err=True)
        sys.exit(1)
