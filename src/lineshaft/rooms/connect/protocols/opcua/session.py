"""One attempt at a server: socket, secure channel, session, and calls over them.

Rules: every attempt is a new `Session` with a new library client, used once and thrown away (a
client used again can hang for ever); every step has our own time limit; closing takes at most
CLOSE_S, then the socket is cut. The library's supervisor, watchdog and publish loop are not used.
A server's certificate is judged before anything secret is sent.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

from asyncua import Client, ua
from asyncua.common.utils import Buffer
from asyncua.crypto import security_policies
from asyncua.ua.ua_binary import struct_from_binary

from lineshaft.core.errors import Broken, LineshaftError, Refused
from lineshaft.rooms.connect.model import Certificate, Endpoint, Login
from lineshaft.rooms.connect.protocols.opcua.pki import Pki, leading_certificate

__all__ = ["CLOSE_S", "STEP_S", "Session", "Untrusted", "discover", "open_session"]

STEP_S: Final = 5.0
CLOSE_S: Final = 0.25
_NONE_URI: Final = "http://opcfoundation.org/UA/SecurityPolicy#None"
_POLICIES: Final[dict[str, type[security_policies.SecurityPolicy]]] = {
    "Basic256Sha256": security_policies.SecurityPolicyBasic256Sha256,
    "Aes128Sha256RsaOaep": security_policies.SecurityPolicyAes128Sha256RsaOaep,
    "Aes256Sha256RsaPss": security_policies.SecurityPolicyAes256Sha256RsaPss,
}
_SESSION_MS: Final = 60_000
_CHANNEL_MS: Final = 3_600_000
_MOST_BYTES: Final = 64 * 1024 * 1024
T = TypeVar("T")

# The library logs requests (a password among them) and every lost connection with a trace; what
# matters to people is in the Facts and in the state of the source.
logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)


class Untrusted(Refused):
    """The server shows a certificate that nobody trusted; it is in `certificate`, `der`."""

    def __init__(self, certificate: Certificate, der: bytes) -> None:
        super().__init__(
            f"the server's certificate is not trusted (SHA-256 {certificate.thumbprint[:16]}…)",
            hint="Compare its thumbprint with the machine's own and trust it",
            code="certificate.untrusted",
        )
        self.certificate = certificate
        self.der = der


class Session:
    """An open session. `call` sends a request of Part 4 and returns its response, checked."""

    def __init__(self, client: Client, certificate: Certificate | None) -> None:
        self._client = client
        self.certificate = certificate

    async def call(self, request: Any, response: type[T], timeout_s: float = STEP_S) -> T:
        """Return the response; raise Broken where none came or the service failed."""
        body = await self._send(request, timeout_s)
        try:
            answer: Any = struct_from_binary(response, body)
        except Exception as error:
            raise Broken(f"the server's {response.__name__} cannot be read: {error!r}"[:300],
                         code="opcua.response") from error  # fmt: skip
        checked: T = answer
        return checked

    async def publish(self, request: Any) -> bytes:
        """Send a publish request and return the bytes of its response, however long it takes."""
        body = await self._send(request, 0)
        return bytes(body)

    async def _send(self, request: Any, timeout_s: float) -> Buffer:
        protocol = self._client.uaclient.protocol
        if protocol is None:
            raise Broken("the connection is closed", code="opcua.closed")
        try:
            return await protocol.send_request(request, timeout_s)
        except Exception as error:
            raise _spoken(error, type(request).__name__.removesuffix("Request")) from error

    async def renew_channel(self) -> None:
        """Renew the channel's token at three quarters of its life, for ever (Part 4, 5.6.2.1)."""
        while True:
            await asyncio.sleep(self._client.secure_channel_timeout * 0.75 / 1000)
            await _step(self._client.open_secure_channel(renew=True), "renewing the channel")
            self._client.uaclient.revolve_security_token()

    async def namespaces(self) -> list[str]:
        """Return the server's namespaces, by index."""
        return [str(uri) for uri in await self.read_value(ua.ObjectIds.Server_NamespaceArray) or []]

    async def read_value(self, node: int) -> Any:
        """Return the value of a variable of namespace 0, None where it has none."""
        values = await self.read([(ua.NodeId(ua.Int32(node)), ua.AttributeIds.Value)])
        variant = values[0].Value
        return None if variant is None else variant.Value

    async def read(self, wanted: list[tuple[Any, Any]], timeout_s: float = 2 * STEP_S) -> list[Any]:
        """Return the data values of (node id, attribute), in one call."""
        request = ua.ReadRequest()
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Neither
        request.Parameters.NodesToRead = [
            ua.ReadValueId(NodeId=node, AttributeId=attribute) for node, attribute in wanted
        ]
        answer: Any = await self.call(request, ua.ReadResponse, timeout_s)
        if len(answer.Results) != len(wanted):
            raise Broken("the server answered for other nodes than asked", code="opcua.response")
        return list(answer.Results)


@asynccontextmanager
async def open_session(login: Login, pki: Pki) -> AsyncIterator[Session]:
    """Connect and sign in; close when left. Raises Refused for what asking again will not heal
    (Untrusted, wrong password, no such security), Broken for the rest."""
    client = _client(login)
    certificate: Certificate | None = None
    try:
        if login.policy != "None":
            endpoints, certificate, der = await discover(login.endpoint, pki, login.policy)
            offered = [e for e in endpoints if (e.policy, e.mode) == (login.policy, login.mode)]
            if not offered or certificate is None:
                raise Refused(
                    f"the server does not offer {login.policy} with {login.mode}",
                    hint=f"It offers {', '.join(f'{e.policy}/{e.mode}' for e in endpoints)}",
                    code="opcua.security",
                )
            if not certificate.trusted:
                raise Untrusted(certificate, der)
            await _secure(client, login, pki, der)
        await _step(client.connect_socket(), "connecting")
        await _step(client.send_hello(), "saying hello")
        await _step(client.open_secure_channel(), "opening the channel")
        await _step(client.create_session(), "making a session")
        await _step(client.activate_session(login.user or None, login.password), "signing in")
        yield Session(client, certificate)
    finally:
        await _close(client)


async def discover(
    endpoint: str, pki: Pki, policy: str = "Basic256Sha256"
) -> tuple[list[Endpoint], Certificate | None, bytes]:
    """Ask a server what it offers (Part 4, 5.5.4), over a channel without security, as the
    standard lets everybody. Returns the certificate it uses with `policy`, judged, and its bytes.
    """
    client = _client(Login(endpoint))
    try:
        await _step(client.connect_socket(), "connecting")
        await _step(client.send_hello(), "saying hello")
        await _step(client.open_secure_channel(), "opening the channel")
        found = await _step(client.get_endpoints(), "asking for its endpoints")
    finally:
        await _close(client)
    shown = [e for e in found if e.ServerCertificate]
    shown.sort(key=lambda e: not str(e.SecurityPolicyUri).endswith(f"#{policy}"))
    der = leading_certificate(bytes(shown[0].ServerCertificate)) if shown else b""
    endpoints = [_endpoint(e) for e in found[:100] if str(e.EndpointUrl).startswith("opc.tcp")]
    return endpoints, pki.judge(der) if der else None, der


def _client(login: Login) -> Client:
    client = Client(login.endpoint, timeout=STEP_S)
    client.name = client.description = "Lineshaft"
    client.session_timeout = _SESSION_MS
    client.secure_channel_timeout = _CHANNEL_MS
    client.max_messagesize = _MOST_BYTES
    return client


async def _secure(client: Client, login: Login, pki: Pki, server: bytes) -> None:
    own = await asyncio.to_thread(pki.own)
    client.application_uri = own.uri
    await client.set_security(
        _POLICIES[login.policy],
        certificate=own.der,
        private_key=own.key,
        server_certificate=server,
        mode=ua.MessageSecurityMode[login.mode],
    )


async def _step(work: Awaitable[T], doing: str) -> T:
    try:
        async with asyncio.timeout(STEP_S):
            return await work
    except Exception as error:
        raise _spoken(error, doing) from error


async def _close(client: Client) -> None:
    protocol = client.uaclient.protocol
    if protocol is None:
        return
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_S):
            if protocol.transport is not None and client.uaclient.has_session:
                await client.uaclient.close_session(True)
            if protocol.transport is not None:
                await client.close_secure_channel()
    if protocol.transport is not None:
        protocol.transport.abort()


def _endpoint(found: Any) -> Endpoint:
    names = {0: "anonymous", 1: "username", 2: "certificate", 3: "token"}
    tokens = tuple(names.get(int(t.TokenType), "other") for t in found.UserIdentityTokens or [])
    policy = str(found.SecurityPolicyUri or _NONE_URI).rpartition("#")[2]
    mode = ua.MessageSecurityMode(found.SecurityMode).name.rstrip("_")
    return Endpoint(
        str(found.EndpointUrl)[:500], policy[:60], mode, tuple(dict.fromkeys(tokens)),
        int(found.SecurityLevel),
    )  # fmt: skip


_DENIED: Final = {"BadUserAccessDenied", "BadIdentityTokenRejected", "BadIdentityTokenInvalid"}
_CERTIFICATE: Final = ("BadCertificate", "BadSecurityChecksFailed", "BadSecurityPolicyRejected")


def _spoken(error: Exception, doing: str) -> LineshaftError:
    """Turn what the library raised into our own words."""
    if isinstance(error, LineshaftError):
        return error
    if isinstance(error, ua.UaStatusCodeError):
        name = ua.StatusCode(ua.UInt32(error.code)).name
        if name in _DENIED:
            return Refused(
                "the server does not accept this user and password",
                hint="Check both with the machine's owner",
                code="opcua.login",
            )
        if name.startswith(_CERTIFICATE):
            return Refused(f"the server refuses our certificate ({name})",
                           hint="Trust the certificate of Lineshaft in the server",
                           code="opcua.own_certificate")  # fmt: skip
        return Broken(f"{doing}: the server says {name}", code=f"opcua.{name}")
    if isinstance(error, TimeoutError):
        return Broken(f"{doing}: no answer within {STEP_S:g} s",
                      hint="Check that the server is up and not overloaded; it is tried again",
                      code="opcua.timeout")  # fmt: skip
    if isinstance(error, OSError):
        text = error.strerror or str(error) or type(error).__name__
        return Broken(f"{doing}: {text[:200]}", hint="Is the server up and reachable?",
                      code="opcua.unreachable")  # fmt: skip
    return Broken(f"{doing}: {type(error).__name__}: {str(error)[:200]}", code="opcua.failed")
