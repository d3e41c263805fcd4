"""`lineshaft ledger verify | export | checkpoint | key`: evidence that proves itself."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from lineshaft.commands.calls import (
    AsJson,
    ConfigFile,
    DataFolder,
    Port,
    call,
    fetch,
    read_settings,
)  # fmt: skip
from lineshaft.core.errors import Refused

__all__ = ["ledger"]

ledger = typer.Typer(no_args_is_help=True, help="Evidence: export it, verify it, see its state.")


@ledger.command()
def checkpoint(
    config: ConfigFile = None,
    data: DataFolder = None,
    port: Port = None,
    as_json: AsJson = False,
) -> None:
    """Print the newest checkpoint, as it is signed, and the public key on standard error."""
    settings, _ = read_settings(config, data, port)
    found = call(settings, "ledger/checkpoint")
    if as_json:
        typer.echo(json.dumps(found))
        return
    typer.echo(found["text"], nl=False)
    typer.echo(f"signed by {found['key']}", err=True)


@ledger.command()
def export(
    output: Annotated[Path, typer.Argument(help="the file to write: a zip with its verifier")],
    fact: Annotated[list[str] | None, typer.Option(help="id of a Fact; may be repeated")] = None,
    start: Annotated[int, typer.Option("--from", help="first entry")] = 0,
    to: Annotated[int | None, typer.Option(help="entry after the last")] = None,
    since: Annotated[
        int | None, typer.Option(help="size of an earlier checkpoint, to be proven too")
    ] = None,
    config: ConfigFile = None,
    data: DataFolder = None,
    port: Port = None,
) -> None:
    """Write evidence into one file: some Facts, or a range of entries (10,000 at most)."""
    settings, _ = read_settings(config, data, port)
    asked: dict[str, object] = {"fact": ",".join(fact)} if fact else {"from": start}
    if not fact and to is not None:
        asked["to"] = to
    if since is not None:
        asked["since"] = since
    content = fetch(settings, "ledger/export", **asked)
    output.write_bytes(content)
    typer.echo(f"{len(content):,} bytes written to {output}; check it anywhere, offline:")
    typer.echo(f"  python -m zipfile -e {output} . && python verify.py {output}")


@ledger.command()
def verify(
    bundle: Annotated[
        Path | None, typer.Argument(help="a bundle; without one the data folder's own ledger")
    ] = None,
    key: Annotated[str | None, typer.Option(help="the public key that you trust")] = None,
    since: Annotated[Path | None, typer.Option(help="file with an earlier checkpoint")] = None,
    config: ConfigFile = None,
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:
    """Check a bundle, or every entry of the data folder's ledger; works running or stopped."""
    if bundle is not None:
        from lineshaft.ledger.verify import main

        more = [f"--{name}={value}" for name, value in (("key", key), ("since", since)) if value]
        raise typer.Exit(main([str(bundle), *more]))
    if key or since:
        raise Refused("--key and --since are for a bundle", hint="Name its file",
                      code="ledger.form")  # fmt: skip
    settings, _ = read_settings(config, data)
    _verify_folder(settings.folder / "records.sqlite", as_json=as_json)


def _verify_folder(file: Path, *, as_json: bool) -> None:
    from lineshaft.keep.evidence import look
    from lineshaft.ledger.verify import Tampered

    if not file.exists():
        raise Refused(f"no platform has run on {file.parent}", hint="Give its folder with --data",
                      code="folder.none")  # fmt: skip
    try:
        found = look(file, None)
    except Tampered as error:
        typer.echo(json.dumps({"ok": False, "trouble": str(error)}) if as_json else
                   f"TAMPERED: {error}")  # fmt: skip
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps({"ok": True, "size": found.size, "checkpoints": found.notes,
                               "unsigned": found.unsigned}))  # fmt: skip
        return
    typer.echo(f"{found.size:,} entries give every root that was signed ({found.notes:,} "
               "checkpoints)")  # fmt: skip
    if found.newest is not None:
        at = datetime.fromtimestamp(found.newest.at / 1e6, UTC).isoformat(" ", "seconds")
        typer.echo(f"the newest is of {found.newest.size:,} entries, {at}, by key "
                   f"{found.newest.key_id} of {found.newest.origin}")  # fmt: skip
    if found.unsigned:
        typer.echo(f"{found.unsigned:,} entries came after it and are not signed yet")
    typer.echo("ALL HOLDS")


@ledger.command("key")
def change_key(
    change: Annotated[bool, typer.Option("--change", help="enter a new one")] = False,
    config: ConfigFile = None,
    data: DataFolder = None,
    port: Port = None,
) -> None:
    """Print the public key in force; with --change enter a new one, signed by it."""
    settings, _ = read_settings(config, data, port)
    found = call(settings, "ledger/key", {}) if change else call(settings, "ledger/checkpoint")
    typer.echo(found["key"])
