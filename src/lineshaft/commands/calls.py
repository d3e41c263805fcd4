"""What every command stands on: settings, options, and calls to the running platform.

On the platform's own machine a command signs in by the data folder's key.
"""

import json
import os
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from lineshaft.core.errors import Broken, Refused
from lineshaft.settings import Effective, Settings, load

__all__ = [
    "AsJson", "ConfigFile", "DataFolder", "Port", "call", "duration_us", "fetch", "find_signals",
    "moment_us", "opened", "read_settings",
]  # fmt: skip

ConfigFile = Annotated[Path | None, typer.Option("--config", help="settings file")]
DataFolder = Annotated[str | None, typer.Option("--data", help="data folder")]
AsJson = Annotated[bool, typer.Option("--json", help="print JSON")]
Port = Annotated[int | None, typer.Option(help="HTTP port")]


def read_settings(
    config: Path | None, data: str | None = None, port: int | None = None, **more: object
) -> tuple[Settings, list[Effective]]:
    """Return the settings that hold for a command, and where each comes from."""
    file = config or (Path("lineshaft.toml") if Path("lineshaft.toml").exists() else None)
    environ = dict(os.environ)
    given = {"PLATFORM__DATA": data, "HTTP__PORT": port, **more}
    environ |= {f"LINESHAFT__{k}": str(v) for k, v in given.items() if v is not None}
    return load(file, environ)


def duration_us(text: str) -> int:
    """Return µs for a duration as people write it: 90s, 15m, 8h, 7d."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
    if text[:-1].isdigit() and text[-1:] in units:
        return int(text[:-1]) * units[text[-1]] * 1_000_000
    raise Refused(f"'{text}' is no duration", hint="Write 90s, 15m, 8h or 7d", code="query.last")


def moment_us(text: str | None) -> int | None:
    """Return µs for a time in ISO 8601, UTC where it names no zone; None for None."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Refused(f"'{text}' is no time", hint="Write 2024-01-31T08:00Z",
                      code="query.time") from error  # fmt: skip
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)


def find_signals(settings: Settings, prefix: str) -> dict[int, dict[str, Any]]:
    """Return the signals below a path by sid, as the platform lists them; Refused where none is."""
    found = call(settings, "signals", prefix=prefix)["signals"]
    if not found:
        raise Refused(f"no signal begins with '{prefix}'", hint="`lineshaft last` lists all",
                      code="signal.unknown")  # fmt: skip
    return {signal["sid"]: signal for signal in found}


def call(settings: Settings, path: str, body: Any = None, **query: Any) -> Any:
    """Return the JSON that an operation of the running platform answers; a body makes it a POST.

    Raises what the platform refused as Refused, Broken where none answers.
    """
    content = fetch(settings, path, body, **query)
    return json.loads(content) if content else None


def fetch(settings: Settings, path: str, body: Any = None, **query: Any) -> bytes:
    """Return the bytes that an operation answers; see `call`."""
    data = None if body is None else json.dumps(body).encode()
    with opened(settings, path, data, {"Content-Type": "application/json"}, **query) as response:
        content: bytes = response.read()
        return content


def _opener(settings: Settings) -> urllib.request.OpenerDirector:
    """Return what opens our own doors: past any proxy, and with TLS only where they show exactly
    the certificate that lies on this machine."""
    direct = urllib.request.ProxyHandler({})
    if not settings.http.is_tls:
        return urllib.request.build_opener(direct)
    file = Path(settings.http.certificate or settings.folder / "keys" / "tls.crt")
    try:
        first, end, _ = file.expanduser().read_text("ascii").partition("-----END CERTIFICATE-----")
        context = ssl.create_default_context(cadata=f"{first}{end}\n")
    except (OSError, ValueError) as error:
        raise Broken(f"the doors' certificate at {file} cannot be read", code="tls.files",
                     hint="It is made at the platform's start") from error  # fmt: skip
    context.check_hostname = False  # it is known by itself, not by a name that somebody vouches for
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return urllib.request.build_opener(direct, urllib.request.HTTPSHandler(context=context))


@contextmanager
def opened(
    settings: Settings, path: str, data: bytes | IO[bytes] | None = None,
    headers: Mapping[str, str] | None = None, *, method: str | None = None, **query: Any,
) -> Iterator[IO[bytes]]:  # fmt: skip
    """Hand out an operation's answer as it comes in, to be read in pieces; see `call`."""
    key_file = settings.folder / "keys" / "platform.key"
    try:
        key = key_file.read_text().strip()
    except OSError as error:
        raise Refused(f"no platform has run on {settings.folder}",
                      hint="Start it with `lineshaft demo` or give --data",
                      code="folder.none") from error  # fmt: skip
    address = f"{settings.http.local_url}/api/v1/{path}"
    address += "?" + urllib.parse.urlencode(query) if query else ""
    request = urllib.request.Request(
        address, data=data, method=method,
        headers={"Authorization": f"Bearer {key}", **(headers or {})},
    )  # fmt: skip
    try:
        with _opener(settings).open(request, timeout=120) as response:
            yield response
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
