"""`lineshaft people`, `lineshaft token`, `lineshaft ca`: who may come in; on the own machine only.

They sign in by the data folder's key, so tokens made here belong to the built-in account `local`.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from lineshaft.commands.calls import (
    AsJson,
    ConfigFile,
    DataFolder,
    Port,
    call,
    opened,
    read_settings,
)  # fmt: skip
from lineshaft.core.errors import Refused
from lineshaft.settings import Settings

__all__ = ["ca", "explain_doors", "people", "token"]

people = typer.Typer(no_args_is_help=True, help="People: who may come in, with which role.")
token = typer.Typer(no_args_is_help=True, help="API tokens of this machine's administrator.")
Name = Annotated[str, typer.Argument(help="how they sign in: a-z, 0-9, '.', '-', '_'")]


@people.command("list")
def list_people(
    config: ConfigFile = None, data: DataFolder = None, port: Port = None, as_json: AsJson = False
) -> None:
    """List the people."""
    settings, _ = read_settings(config, data, port)
    found = call(settings, "people")["people"]
    if as_json:
        typer.echo(json.dumps(found))
        return
    for one in found:
        seen = _moment(one["last_seen"])
        typer.echo(f"{one['name']:<20} {one['role']:<14} {one['state']:<9} last seen {seen}")


@people.command()
def add(
    name: Name,
    role: Annotated[str, typer.Option(help="viewer, operator, engineer or administrator")],
    display_name: Annotated[str, typer.Option(help="how others read them")] = "",
    config: ConfigFile = None,
    data: DataFolder = None,
    port: Port = None,
) -> None:
    """Let somebody in; prints the link with which they set their password."""
    settings, _ = read_settings(config, data, port)
    body = {"name": name, "role": role, "display_name": display_name}
    _show_link(call(settings, "people", body)["link"])


@people.command()
def invite(
    name: Name, config: ConfigFile = None, data: DataFolder = None, port: Port = None
) -> None:
    """Print a new link with which somebody sets a new password."""
    settings, _ = read_settings(config, data, port)
    _show_link(call(settings, f"people/{_plain(name)}/invitation", {})["link"])


@people.command()
def disable(
    name: Name, config: ConfigFile = None, data: DataFolder = None, port: Port = None
) -> None:
    """Turn somebody out: all sessions and tokens end at once."""
    _switch(name, False, config, data, port)


@people.command()
def enable(
    name: Name, config: ConfigFile = None, data: DataFolder = None, port: Port = None
) -> None:
    """Let somebody in again."""
    _switch(name, True, config, data, port)


@token.command()
def new(
    name: Annotated[str, typer.Argument(help="what it is for")],
    right: Annotated[
        list[str] | None, typer.Option(help="kind.action, again for more; left out: reads")
    ] = None,
    days: Annotated[int, typer.Option(help="how long it holds, up to 365")] = 90,
    config: ConfigFile = None,
    data: DataFolder = None,
    port: Port = None,
) -> None:
    """Make a token and print it, this once."""
    settings, _ = read_settings(config, data, port)
    body = {"name": name, "days": days, **({"rights": right} if right else {})}
    typer.echo(call(settings, "tokens", body)["token"])


@token.command("list")
def list_tokens(
    config: ConfigFile = None, data: DataFolder = None, port: Port = None, as_json: AsJson = False
) -> None:
    """List the tokens made here."""
    settings, _ = read_settings(config, data, port)
    found = call(settings, "tokens")["tokens"]
    if as_json:
        typer.echo(json.dumps(found))
        return
    for one in found:
        until, used = _moment(one["expires"]), _moment(one["last_seen"])
        typer.echo(f"{one['id']}  {one['name']:<24} until {until}  used {used}")


@token.command()
def revoke(
    identity: Annotated[str, typer.Argument(metavar="ID")],
    config: ConfigFile = None,
    data: DataFolder = None,
    port: Port = None,
) -> None:
    """End a token."""
    settings, _ = read_settings(config, data, port)
    with opened(settings, f"tokens/{_plain(identity)}", method="DELETE"):
        pass


def ca(
    output: Annotated[Path | None, typer.Option(help="file; default: standard output")] = None,
    config: ConfigFile = None,
    data: DataFolder = None,
) -> None:
    """Print the certificate of the platform's own CA, to be installed on people's machines."""
    settings, _ = read_settings(config, data)
    file = settings.folder / "keys" / "ca.crt"
    try:
        content = file.read_text("ascii")
    except OSError as error:
        raise Refused("the platform has no CA of its own",
                      hint="It makes one when it first listens beyond loopback (http.host)",
                      code="tls.none") from error  # fmt: skip
    if output is None:
        typer.echo(content, nl=False)
    else:
        output.write_text(content, "ascii")
        typer.echo(f"written to {output}", err=True)


def explain_doors(settings: Settings) -> str:
    """Return in words where the doors are, and what protects them."""
    http = settings.http
    if not http.is_tls:
        return f"doors: {http.url}, on this machine alone; beyond it (http.host) always with TLS"
    maker = http.certificate or "our own CA; `lineshaft ca` prints what to install on clients"
    return f"doors: {http.url}, listening on {', '.join(http.listens)}, TLS by {maker}"


def _switch(
    name: str, enabled: bool, config: Path | None, data: str | None, port: int | None
) -> None:
    settings, _ = read_settings(config, data, port)
    body = json.dumps({"enabled": enabled}).encode()
    kind = {"Content-Type": "application/json"}
    with opened(settings, f"people/{_plain(name)}", body, kind, method="PUT"):
        pass


def _plain(text: str) -> str:
    """Return what may stand in a path as it is."""
    if not text.isascii() or not text.replace("-", "").replace(".", "").replace("_", "").isalnum():
        raise Refused(f"'{text[:40]}' is no name", code="people.name")
    return text


def _show_link(link: str) -> None:
    typer.echo("Send this link; it works once, within seven days:", err=True)
    typer.echo(link)


def _moment(us: Any) -> str:
    if us is None:
        return "never"
    return datetime.fromtimestamp(us / 1e6, UTC).isoformat(timespec="minutes")
