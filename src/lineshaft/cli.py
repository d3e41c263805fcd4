"""The command line: `lineshaft demo | up | check | link | probe | last | query`.

On the platform's own machine it signs in by the data folder's key. Commands that read take
`--json`. Exit codes: 0 done, 1 the world failed, 2 the request cannot be.
"""

import asyncio
import json
import os
import signal
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from lineshaft import __version__
from lineshaft.clock import monotonic_s, now_us
from lineshaft.core.errors import Broken, LineshaftError, Refused
from lineshaft.settings import Effective, Settings, load

__all__ = ["main"]

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Lineshaft, one line shaft.")

ConfigFile = Annotated[Path | None, typer.Option("--config", help="settings file")]
DataFolder = Annotated[str | None, typer.Option("--data", help="data folder")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]
Port = Annotated[int | None, typer.Option(help="HTTP port")]


def _settings(
    config: Path | None, data: str | None = None, port: int | None = None, **more: object
) -> tuple[Settings, list[Effective]]:
    file = config or (Path("lineshaft.toml") if Path("lineshaft.toml").exists() else None)
    environ = dict(os.environ)
    given = {"PLATFORM__DATA": data, "HTTP__PORT": port, **more}
    environ |= {f"LINESHAFT__{k}": str(v) for k, v in given.items() if v is not None}
    return load(file, environ)


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
    settings, _ = _settings(config, data, port, PLANT__SPEED=speed, PLANT__KIND=plant)
    _run(settings, demo=True, reset=reset)


@app.command()
def up(config: ConfigFile = None, data: DataFolder = None, port: Port = None) -> None:
    """Run the platform for your own machines."""
    settings, _ = _settings(config, data, port)
    _run(settings, demo=False, reset=False)


@app.command()
def check(config: ConfigFile = None, data: DataFolder = None, as_json: AsJson = False) -> None:
    """Print the effective settings and where each comes from."""
    _, listed = _settings(config, data)
    if as_json:
        typer.echo(
            json.dumps([{"name": e.name, "value": e.value, "origin": e.origin} for e in listed])
        )
        return
    width = max(len(e.name) for e in listed)
    for e in listed:
        typer.echo(f"{e.name:<{width}}  {e.value!s:<16} {e.origin:<24} {e.doc}")


@app.command()
def link(config: ConfigFile = None, data: DataFolder = None, port: Port = None) -> None:
    """Print a new sign-in link of the running platform."""
    settings, _ = _settings(config, data, port)
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
    settings, _ = _settings(config, data, port)
    signals = _signals(settings, prefix)
    values = _call(settings, "last", sid=",".join(map(str, signals)))
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
    settings, _ = _settings(config, data, port)
    signals = _signals(settings, path)
    start = now_us() - _duration_us(since)
    kind = "json" if as_json else format
    content = _fetch(
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
    settings, _ = _settings(config, data, port)
    found = _call(settings, "opcua/probe", {"endpoint": endpoint})
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


def _signals(settings: Settings, prefix: str) -> dict[int, dict[str, Any]]:
    found = _call(settings, "signals", prefix=prefix)["signals"]
    if not found:
        raise Refused(f"no signal begins with '{prefix}'", hint="`lineshaft last` lists all",
                      code="signal.unknown")  # fmt: skip
    return {signal["sid"]: signal for signal in found}


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


def _duration_us(text: str) -> int:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    if text[:-1].isdigit() and text[-1:] in units:
        return int(text[:-1]) * units[text[-1]] * 1_000_000
    raise Refused(f"'{text}' is no duration", hint="Write 90s, 15m, 8h or 7d", code="query.last")


def _call(settings: Settings, path: str, body: Any = None, **query: Any) -> Any:
    content = _fetch(settings, path, body, **query)
    return json.loads(content) if content else None


def _fetch(settings: Settings, path: str, body: Any = None, **query: Any) -> bytes:
    key_file = settings.folder / "keys" / "platform.key"
    try:
        key = key_file.read_text().strip()
    except OSError as error:
        raise Refused(f"no platform has run on {settings.folder}",
                      hint="Start it with `lineshaft demo` or give --data",
                      code="folder.none") from error  # fmt: skip
    address = f"http://{settings.http.host}:{settings.http.port}/api/v1/{path}"
    address += "?" + urllib.parse.urlencode(query) if query else ""
    request = urllib.request.Request(
        address,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=120) as response:
            content: bytes = response.read()
            return content
    except urllib.error.HTTPError as error:
        try:
            said = json.loads(error.read())
            raise Refused(said["message"], hint=said["hint"], code=said["code"]) from None
        except (ValueError, KeyError):
            raise Broken(f"the platform answered {error.code} to {path}") from error
    except OSError as error:
        raise Broken(f"no platform answers at port {settings.http.port}",
                     hint="Start it with `lineshaft demo`, or give --port",
                     code="platform.silent") from error  # fmt: skip


def _sign_in_link(settings: Settings) -> str:
    code = _call(settings, "session/code", {})["code"]
    return f"http://{settings.http.host}:{settings.http.port}/#/sign-in/{code}"


def _run(settings: Settings, *, demo: bool, reset: bool) -> None:
    from lineshaft.boot import boot

    with boot(settings, demo=demo, reset=reset, say=_say) as ready:
        asyncio.run(_supervise(settings, ready.commands, demo=ready.plan.demo))


async def _supervise(settings: Settings, commands: Any, *, demo: bool) -> None:
    from lineshaft.processes import Supervisor

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
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
    _say(f"doors open after {since()}. Open this link to sign in (it works once):\n\n    {link}\n")
    if demo:
        await _patiently(lambda: _first_value(settings))
        _say(f"the plant's first value was kept after {since()}")
    _say("Ctrl-C ends; `lineshaft link` prints a new sign-in link")


def _first_value(settings: Settings) -> None:
    signals = _signals(settings, "")
    if not _call(settings, "last", sid=",".join(map(str, signals)))["sid"]:
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
