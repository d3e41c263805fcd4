"""Words of the room `connect`: sources, their state, and what a machine says about itself.

Rules: parsing is validating, so a `Source` that exists is well formed; a password is never part of
a printed form; the state of a source has two axes, its task (do we try?) and its link (is it
there?).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from lineshaft.core.errors import Refused
from lineshaft.core.paths import check_path
from lineshaft.core.signals import Kind

__all__ = [
    "Certificate",
    "Draft",
    "Endpoint",
    "Login",
    "Node",
    "Source",
    "SourceState",
    "check_endpoint",
    "parse_draft",
    "parse_login",
]

_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
MODES = {"None": ("None",), "Basic256Sha256": ("Sign", "SignAndEncrypt"),
          "Aes128Sha256RsaOaep": ("Sign", "SignAndEncrypt"),
          "Aes256Sha256RsaPss": ("Sign", "SignAndEncrypt")}  # fmt: skip
MAX_NODES = 20_000


class Task(StrEnum):
    """Do we work on this source?"""

    IDLE = "idle"
    STARTING = "starting"
    RUNNING = "running"
    STOPPED = "stopped"


class Link(StrEnum):
    """Is the machine there?"""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Login:
    """How to reach a server: where, how secured, as whom."""

    endpoint: str
    policy: str = "Basic256Sha256"
    mode: str = "SignAndEncrypt"
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Source:
    """A machine's server that people connected; a Record. Its password is a file, not a field."""

    id: str
    name: str
    endpoint: str
    prefix: str
    policy: str = "Basic256Sha256"
    mode: str = "SignAndEncrypt"
    user: str = ""
    protocol: str = "opcua"
    view: str = ""
    enabled: bool = True
    all_nodes: bool = True
    speed: str = ""  # id of the node that tells the plant's speed; renaming its signal keeps it
    revision: int = 0  # grows when its nodes or its password change
    writes: bool = False  # whether people opened it for writing

    def login(self, password: str) -> Login:
        """Return how to reach this source's server."""
        return Login(self.endpoint, self.policy, self.mode, self.user, password)


@dataclass(frozen=True, slots=True)
class Draft:
    """A source that somebody wants to add; `nodes` None means all that browsing finds."""

    name: str
    login: Login
    prefix: str
    nodes: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """A variable that browsing found. `node_id` names its namespace by URI
    (`nsu=urn:x;s=y`, OPC UA Part 6, 5.3.1.11), so that it outlives a changed namespace index."""

    node_id: str
    path: str
    name: str
    kind: Kind
    unit: str = ""
    low: float | None = None
    high: float | None = None
    limit_low: float | None = None
    limit_high: float | None = None
    decimals: int | None = None
    period_ms: int | None = None
    writable: bool = False
    value: float | int | bool | str | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One way to connect that a server offers; `level` is the server's own security level."""

    url: str
    policy: str
    mode: str
    tokens: tuple[str, ...]
    level: int


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate as people judge it; times µs UTC, `thumbprint` SHA-256 in hex."""

    thumbprint: str
    subject: str
    issuer: str
    not_before: int
    not_after: int
    uris: tuple[str, ...] = ()
    trusted: bool = False
    reason: str = ""

    def view(self) -> dict[str, Any]:
        """Return it as plain values for doors."""
        return {**asdict(self), "uris": list(self.uris)}


@dataclass(slots=True)
class SourceState:
    """What is going on with a source right now; shown on the bus once a second."""

    task: Task = Task.IDLE
    link: Link = Link.DISCONNECTED
    since: int | None = None
    rate: float = 0.0
    lag_ms: float | None = None
    buffered: int = 0
    last_sample: int | None = None
    last_error: Mapping[str, Any] | None = None
    plant_speed: float = 1.0
    signals: int = 0
    samples: int = 0
    gaps_24h: Mapping[str, Any] = field(default_factory=lambda: {"count": 0, "seconds": 0.0})
    certificate: Certificate | None = None

    def view(self) -> dict[str, Any]:
        """Return it as plain values for the bus."""
        certificate = self.certificate.view() if self.certificate else None
        return {**asdict(self), "certificate": certificate}


def check_endpoint(url: str) -> str:
    """Return an OPC UA address `opc.tcp://host:port/path`, its port added where it lacks one."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port or 4840
    except ValueError as error:
        raise _bad_endpoint(url) from error
    if parts.scheme != "opc.tcp" or not parts.hostname or len(url) > 500 or "@" in parts.netloc:
        raise _bad_endpoint(url)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"opc.tcp://{host}:{port}{parts.path}"


def _bad_endpoint(url: str) -> Refused:
    return Refused(
        f"'{url[:200].rpartition('@')[2]}' is no address of an OPC UA server",
        hint="Write it as opc.tcp://host:4840, user and password apart",
        code="source.endpoint",
    )


def parse_login(body: Mapping[str, Any]) -> Login:
    """Read endpoint, policy, mode, user and password; raise Refused naming what is wrong."""
    endpoint = check_endpoint(_text(body, "endpoint", 500))
    policy = _text(body, "policy", 40, "Basic256Sha256")
    mode = _text(body, "mode", 40, "None" if policy == "None" else "SignAndEncrypt")
    if policy not in MODES or mode not in MODES[policy]:
        raise Refused(
            f"'{policy}' with '{mode}' is no security that is spoken here",
            hint=f"Use one of {', '.join(MODES)}; with a policy, Sign or SignAndEncrypt",
            code="source.security",
        )
    user, password = _text(body, "user", 200, ""), _text(body, "password", 500, "")
    return Login(endpoint, policy, mode, user, password)


def parse_draft(body: Mapping[str, Any]) -> Draft:
    """Read a source to be added; raise Refused naming what is wrong."""
    name = _text(body, "name", 200).strip()
    if not name:
        raise Refused("a source needs a name", code="source.name")
    prefix = check_path(_text(body, "prefix", 300).strip("/"), prefix=True)
    return Draft(name, parse_login(body), prefix, parse_nodes(body.get("nodes")))


def parse_nodes(given: Any) -> tuple[str, ...] | None:
    """Read a list of node ids; None stands for all."""
    if given is None:
        return None
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise Refused("the nodes must be a list of node ids", hint="Leave it out to take all",
                      code="source.nodes")  # fmt: skip
    if len(given) > MAX_NODES or not all(isinstance(n, str) and len(n) <= 1000 for n in given):
        raise Refused(f"more than {MAX_NODES} nodes, or a node id that is no text",
                      code="source.nodes")  # fmt: skip
    return tuple(dict.fromkeys(given))


def check_source_id(text: str) -> str:
    """Return the id unchanged, or raise Refused where it cannot be one."""
    if not _ID.fullmatch(text):
        raise Refused("there is no such source", code="source.unknown", status=404)
    return text


def _text(body: Mapping[str, Any], key: str, most: int, default: str | None = None) -> str:
    value = body.get(key, default)
    value = default if value is None else value
    if not isinstance(value, str) or len(value) > most:
        raise Refused(f"'{key}' must be a text of at most {most} characters",
                      code=f"source.{key}")  # fmt: skip
    return value
