"""What goes in and out of the doors of `connect`; from these the OpenAPI description is made.

Only forms: the meaning is checked by `model`, in the process that acts on it.
"""

from typing import Annotated

from pydantic import BaseModel, Field, SecretStr, field_serializer

from lineshaft.rooms.connect.model import MAX_NODES, MODES

__all__ = [
    "BrowseAnswer",
    "BrowseRequest",
    "CertificateList",
    "ProbeAnswer",
    "SourceChange",
    "SourceDraft",
    "SourceList",
    "SourceView",
]


class CertificateView(BaseModel):
    """A certificate as people judge it."""

    thumbprint: str = Field(description="SHA-256 in hex: compare it with the machine's own")
    subject: str = Field(description="Whom it names")
    issuer: str = Field(description="Who signed it")
    not_before: int = Field(description="Valid from, µs UTC")
    not_after: int = Field(description="Valid until, µs UTC")
    uris: list[str] = Field(default=[], description="Application URIs it names")
    trusted: bool = Field(description="Whether somebody trusted it")
    reason: str = Field(default="", description="Why it is not trusted, or what is odd about it")


class ListedCertificate(CertificateView):
    """A certificate of the list."""

    state: str = Field(description="trusted or quarantined")


class CertificateList(BaseModel):
    """All certificates."""

    certificates: list[ListedCertificate] = Field(description="Servers' certificates")
    own: CertificateView = Field(description="Ours; servers are asked to trust it")


class LastError(BaseModel):
    """What went wrong last."""

    code: str = Field(default="", description="Stable name of the trouble")
    message: str = Field(description="What happened")
    hint: str = Field(default="", description="What to do")
    at: int = Field(description="When, µs UTC")


class Gaps(BaseModel):
    """Gaps of the last 24 hours."""

    count: int = Field(description="How many")
    seconds: float = Field(description="How long together")


class SourceView(BaseModel):
    """A source and how it is doing."""

    id: str = Field(description="Id of the source")
    name: str = Field(description="Name given by people")
    protocol: str = Field(description="opcua")
    endpoint: str = Field(description="Address of the server")
    prefix: str = Field(description="Path below which its signals stand")
    view: str = Field(description="Flow sheet of the console that shows it; empty for none")
    enabled: bool = Field(description="Whether it shall run")
    writes: bool = Field(description="Whether loops and people may write its signals")
    policy: str = Field(description="OPC UA security policy")
    mode: str = Field(description="OPC UA message security mode")
    user: str = Field(description="User it signs in as; empty for nobody")
    signals: int = Field(description="How many signals it feeds")
    plant_speed: float = Field(description="Plant seconds per wall second, as the source declares")
    task: str = Field(description="idle, starting, running or stopped: do we work on it?")
    link: str = Field(description="disconnected, connecting, connected or refused: is it there?")
    since: int | None = Field(description="Since when the link is so, µs UTC")
    rate: float = Field(description="Samples per second, over the last second")
    lag_ms: float | None = Field(description="Age of the newest sample when the bus had it")
    buffered: int = Field(description="Samples that the bus does not have yet")
    last_sample: int | None = Field(description="Stamp of the newest sample on the bus, µs UTC")
    last_error: LastError | None = Field(description="What went wrong last")
    gaps_24h: Gaps = Field(description="Declared gaps of the last 24 hours")
    certificate: CertificateView | None = Field(description="The certificate the server showed")


class SourceList(BaseModel):
    """All sources."""

    sources: list[SourceView] = Field(description="The sources, by name")


Nodes = Annotated[
    list[Annotated[str, Field(max_length=1000)]] | None,
    Field(min_length=1, max_length=MAX_NODES, description="Node ids to follow; null for all"),
]


class Secured(BaseModel):
    """How to reach a server."""

    endpoint: str = Field(description="opc.tcp://host:port", max_length=500)
    policy: str = Field(default="Basic256Sha256", description="Security policy, or None",
                        json_schema_extra={"pattern": f"^({'|'.join(MODES)})$"})  # fmt: skip
    mode: str = Field(default="SignAndEncrypt", description="SignAndEncrypt, Sign or None",
                      json_schema_extra={"pattern": "^(SignAndEncrypt|Sign|None)$"})  # fmt: skip
    user: str = Field(default="", description="User to sign in as; empty for nobody",
                      max_length=200)  # fmt: skip
    password: SecretStr = Field(default=SecretStr(""), description="Its password; never shown",
                                max_length=500)  # fmt: skip

    @field_serializer("password")
    def _open(self, password: SecretStr) -> str:
        return password.get_secret_value()


class SourceDraft(Secured):
    """A source to be added."""

    name: str = Field(description="Name for people", min_length=1, max_length=200)
    prefix: str = Field(description="enterprise/site/area/line for its signals", max_length=300,
                        examples=["acme/mill/press/line-1"])  # fmt: skip
    nodes: Nodes = None


class SourceChange(BaseModel):
    """What to change of a source; what is left out stays."""

    enabled: bool | None = Field(default=None, description="Whether it shall run")
    writes: bool | None = Field(
        default=None, description="Whether its signals may be written, through all guards"
    )
    name: str | None = Field(default=None, description="Name for people", max_length=200)
    endpoint: str | None = Field(default=None, description="Address of the server", max_length=500)
    user: str | None = Field(default=None, description="User to sign in as", max_length=200)
    password: SecretStr | None = Field(default=None, description="Its password; never shown",
                                       max_length=500)  # fmt: skip
    nodes: Nodes = None

    @field_serializer("password")
    def _open(self, password: SecretStr | None) -> str | None:
        return None if password is None else password.get_secret_value()


class BrowseRequest(Secured):
    """Where to look round."""

    source: str | None = Field(
        default=None,
        max_length=64,
        description="Id of a source: its saved password may be used, and the answer"
        " says what it follows",
    )


class EndpointView(BaseModel):
    """One way to connect that a server offers."""

    url: str = Field(description="Address by the server's own account")
    policy: str = Field(description="Security policy")
    mode: str = Field(description="Message security mode")
    tokens: list[str] = Field(description="How a user may sign in: anonymous, username, …")
    level: int = Field(description="The server's own ranking; higher is more secure")


class ProbeAnswer(BaseModel):
    """What a server offers."""

    endpoints: list[EndpointView] = Field(description="Ways to connect")
    certificate: CertificateView | None = Field(description="The certificate it shows")


class ServerView(BaseModel):
    """A server by its own account."""

    name: str = Field(description="Its name")
    uri: str = Field(default="", description="Its application URI")


class NodeView(BaseModel):
    """A variable that can be followed."""

    node_id: str = Field(description="Its id, namespace by URI; outlives a restart of the server")
    path: str = Field(description="Path below the source's prefix")
    name: str = Field(description="Its display name")
    kind: str = Field(description="float, int, bool or string")
    unit: str = Field(description="UCUM code, or the machine's own text")
    low: float | None = Field(description="Low end of the engineering range")
    high: float | None = Field(description="High end of the engineering range")
    limit_low: float | None = Field(description="Low normal operating limit")
    limit_high: float | None = Field(description="High normal operating limit")
    decimals: int | None = Field(description="Digits worth showing")
    writable: bool = Field(description="Whether this user may write it")
    value: float | int | bool | str | None = Field(description="Its present value")
    description: str = Field(description="Its description")
    followed: bool = Field(description="Whether the source named in the request follows it")


class BrowseAnswer(BaseModel):
    """What a server holds."""

    server: ServerView = Field(description="The server")
    nodes: list[NodeView] = Field(description="Variables, in the server's own order")
    truncated: bool = Field(description="Whether there is more than could be listed")
