"""`lineshaft loops`: what loops do and gained, and the big stop."""

import json
from typing import Annotated, Any

import typer

from lineshaft.commands.calls import AsJson, ConfigFile, DataFolder, Port, call, read_settings

__all__ = ["loops"]

loops = typer.Typer(no_args_is_help=False, invoke_without_command=True,
                    help="Loops: what they do, what they gained, the big stop.")  # fmt: skip


@loops.callback()
def list_loops(
    context: typer.Context, config: ConfigFile = None, data: DataFolder = None, port: Port = None,
    as_json: AsJson = False,
) -> None:  # fmt: skip
    """List loops: mode, state, objective, gain."""
    if context.invoked_subcommand is not None:
        return
    settings, _ = read_settings(config, data, port)
    found = call(settings, "decisions")
    if as_json:
        typer.echo(json.dumps(found))
        return
    if found["stopped"] is not None:
        typer.echo(f"stopped by {found['stopped']['by']}: {found['stopped']['reason']}", err=True)
    for one in found["loops"]:
        typer.echo(_line(one))
    if not found["loops"]:
        typer.echo("no loop is defined yet; see the page Decisions of the console", err=True)


@loops.command()
def stop(
    reason: Annotated[str, typer.Option(help="kept with the stop")] = "",
    config: ConfigFile = None,
    data: DataFolder = None,
    port: Port = None,
) -> None:
    """Bring every loop to shadow now; set-points stay, the plants return to their own."""
    settings, _ = read_settings(config, data, port)
    stopped = call(settings, "decisions/stop", {"reason": reason})
    typer.echo(f"stopped; {len(stopped['loops'])} loops are in shadow now")


def _line(one: dict[str, Any]) -> str:
    figures, unit = one["figures"], one["goal"]["unit"]

    def shown(name: str) -> str:
        value = figures[name]
        return "-" if value is None else f"{value:.6g}"

    gain = "unknown" if figures["gain"] is None else (
        f"{shown('gain')} ({shown('gain_low')} … {shown('gain_high')})")  # fmt: skip
    said = f"  {'; '.join(one['why'])}" if one["why"] else ""
    return (f"{one['id']}  {one['name']}  {one['mode']}  {one['state']}  "
            f"now {shown('now')} settled {shown('settled')} {unit}  gain {gain}{said}")  # fmt: skip
