"""`lineshaft backup` and `lineshaft restore`: make, check, bring back what the platform keeps."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from lineshaft.commands.calls import AsJson, ConfigFile, DataFolder, read_settings
from lineshaft.core.errors import Refused
from lineshaft.keep.manifest import Manifest
from lineshaft.keep.vessel import Progress
from lineshaft.plan import Plan
from lineshaft.settings import Settings

__all__ = ["backup", "in_force", "restore"]

_Secrets = Annotated[
    bool, typer.Option("--with-secrets", help="keys and passwords too: guard it like them")
]
_Onto = Annotated[
    Path | None, typer.Option(help="an earlier backup folder: files of both are stored once")
]


def backup(
    target: Annotated[Path, typer.Argument(help="new folder, or new file ending in .tar")],
    verify: Annotated[bool, typer.Option("--verify", help="check TARGET, make nothing")] = False,
    with_secrets: _Secrets = False,
    onto: _Onto = None,
    config: ConfigFile = None,
    data: DataFolder = None,
    as_json: AsJson = False,
) -> None:
    """Back up everything kept, while the platform runs or not; or check a backup (--verify)."""
    if verify:
        from lineshaft.keep.verify import verify_backup

        with _shown(as_json) as progress:
            manifest = verify_backup(target, progress)
        _say_whole(target, manifest, as_json=as_json)
        return
    from lineshaft.keep.backup import make_backup

    settings = read_settings(config, data)[0]
    if not (settings.folder / "records.sqlite").exists():
        raise Refused(f"no platform has run on {settings.folder}",
                      hint="Give its folder with --data", code="folder.none")  # fmt: skip
    settings = in_force(settings)
    with _shown(as_json) as progress:
        made = asyncio.run(
            make_backup(settings, target, with_secrets=with_secrets, onto=onto, progress=progress)
        )
    if as_json:
        typer.echo(json.dumps({**_summary(made.manifest), "bytes": made.bytes,
                               "linked": made.linked}))  # fmt: skip
        return
    typer.echo(f"{target} is a whole backup of {settings.folder}: {_in_words(made.manifest)}")
    if made.linked:
        typer.echo(f"{made.linked} files are shared with {onto}")
    if not with_secrets:
        typer.echo("keys and passwords are not in it; --with-secrets takes them along")


def restore(
    source: Annotated[Path, typer.Argument(metavar="BACKUP", help="folder or .tar")],
    data: Annotated[Path, typer.Option("--data", help="an empty folder, or one to be made")],
    as_json: AsJson = False,
) -> None:
    """Bring a backup back into an empty folder, and prove it by reading it back."""
    from lineshaft.keep.restore import SETTINGS, restore_backup

    folder = data.expanduser().absolute()
    with _shown(as_json) as progress:
        proof = asyncio.run(restore_backup(source, folder, progress))
    made = proof.manifest
    if as_json:
        figures = {
            name: getattr(proof, name)
            for name in (
                "folder",
                "files",
                "bytes",
                "rows",
                "signals",
                "messages",
                "tables",
                "entries",
                "epochs",
            )
        }
        typer.echo(json.dumps({**_summary(made), **figures}))  # fmt: skip
        return
    typer.echo(f"restored into {folder}, and read back:")
    typer.echo(f"  {proof.files:,} files, {proof.bytes:,} bytes: every hash is that of the backup")
    typer.echo(f"  {proof.rows:,} rows of {proof.signals:,} signals: every figure is the same")
    typer.echo(f"  {proof.tables:,} rows of the database: the same in each table")
    typer.echo(f"  {proof.entries:,} entries of the ledger: they give the roots that were signed")
    typer.echo(f"  {proof.messages:,} messages accepted after the cut: in the new stream")
    for stream, epoch in proof.epochs.items():
        typer.echo(f"  {stream}: epoch {epoch} is open")
    if not made.with_secrets:
        typer.echo(
            "It held no keys and passwords. A new certificate is made at the start: machines"
        )
        typer.echo("must trust it, and the passwords of sources be entered again.")
    typer.echo(f"Start it:  lineshaft up --config {folder / SETTINGS} --data {folder}")


def in_force(settings: Settings) -> Settings:
    """Return the settings of the data folder's last run, where there was one."""
    folder = settings.folder
    try:
        held = Plan.read(folder).settings
    except (OSError, ValueError, KeyError, TypeError):
        return settings
    return held if held.folder == folder else settings


@contextmanager
def _shown(silent: bool) -> Iterator[Progress]:
    """Show progress on the terminal's error output, where that is one."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(),
               TimeRemainingColumn())  # fmt: skip
    console = Console(stderr=True, quiet=silent)
    with Progress(*columns, console=console, transient=True, disable=silent) as bars:
        tasks = {}

        def show(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield show


def _say_whole(target: Path, manifest: Manifest, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(_summary(manifest)))
    else:
        typer.echo(f"{target} is whole: {_in_words(manifest)}")


def _summary(manifest: Manifest) -> dict[str, object]:
    return {
        "at": manifest.at, "version": manifest.version, "site": manifest.site,
        "records": manifest.records, "with_secrets": manifest.with_secrets,
        "backup_rows": manifest.rows, "backup_signals": manifest.signals,
        "backup_files": len(manifest.files), "damaged": list(manifest.damaged),
        "backup_messages": sum(stream.messages for stream in manifest.streams),
    }  # fmt: skip


def _in_words(manifest: Manifest) -> str:
    at = datetime.fromtimestamp(manifest.at / 1e6, UTC).isoformat(" ", "seconds")
    messages = sum(stream.messages for stream in manifest.streams)
    size = sum(entry.size for entry in manifest.files)
    lost = f"; {len(manifest.damaged)} files were damaged before" if manifest.damaged else ""
    return (f"{manifest.rows:,} rows of {manifest.signals:,} signals and {messages:,} messages, "
            f"{len(manifest.files):,} files, {size / 1e6:,.1f} MB, of {at}{lost}")  # fmt: skip
