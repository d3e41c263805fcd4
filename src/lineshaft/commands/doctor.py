"""`lineshaft doctor`: looks at everything and says what to do."""

import asyncio
import json
from dataclasses import asdict

import typer

from lineshaft.commands.backup import in_force
from lineshaft.commands.calls import AsJson, ConfigFile, DataFolder, Port, read_settings

__all__ = ["doctor"]

_MARKS = {"ok": ("ok  ", typer.colors.GREEN), "warn": ("warn", typer.colors.YELLOW),
          "fail": ("FAIL", typer.colors.RED)}  # fmt: skip


def doctor(
    config: ConfigFile = None, data: DataFolder = None, port: Port = None, as_json: AsJson = False
) -> None:
    """Check machine, data and processes, and say what to do; works running or stopped."""
    from lineshaft.keep.checkup import check_up

    settings, _ = read_settings(config, data, port)
    found = asyncio.run(check_up(settings if port or config else in_force(settings)))
    failed = any(finding.state == "fail" for finding in found)
    if as_json:
        typer.echo(json.dumps({"ok": not failed, "findings": [asdict(one) for one in found]}))
    else:
        for finding in found:
            mark, colour = _MARKS[finding.state]
            typer.echo(f"{typer.style(mark, fg=colour)}  {finding.name:<13} {finding.text}")
            if finding.advice:
                typer.echo(f"      {'':<13} → {finding.advice}")
    if failed:
        raise typer.Exit(1)
