"""The plant's OPC UA server: one endpoint, Basic256Sha256 SignAndEncrypt, user and password.

Rules:
- No endpoint without encryption, no anonymous user. The unencrypted channel that OPC 10000-4 keeps
  for discovery can read the list of endpoints and nothing else: a session needs the certificate of
  its own channel on the trust list, and an unencrypted channel has none.
- A value changes only with a source timestamp; all values of one update share it; what has not
  changed is not written again.
- A client's write passes `Simulation.write` first: out of range is BadOutOfRange, a set-point that
  is not under remote control is BadInvalidState; each item of a request has its own answer.
"""

import asyncio
import gc
import hmac
import logging
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from asyncua import Server, ua
from asyncua.common.utils import ServiceError
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.address_space import AddressSpace, AttributeService
from cryptography.hazmat.primitives.serialization import Encoding

from lineshaft.clock import now_us
from lineshaft.core.errors import Broken, Refused
from lineshaft.plants.nodes import VARIANT, build
from lineshaft.plants.pki import Identity, TrustList
from lineshaft.plants.signals import PlantSpec, Role
from lineshaft.plants.simulation import Value

__all__ = ["PlantServer", "ServerSettings"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_GOOD: Final = ua.StatusCode(ua.StatusCodes.Good)
_LAST_USABLE: Final = ua.StatusCode(ua.StatusCodes.UncertainLastUsableValue)
_OUT_OF_SERVICE: Final = ua.StatusCode(ua.StatusCodes.BadOutOfService)
_NO_VALUE: Final = ua.StatusCode(ua.StatusCodes.BadNoData)
_REFUSALS: Final = {
    "write.range": ua.StatusCodes.BadOutOfRange,
    "write.access": ua.StatusCodes.BadNotWritable,
    "control.local": ua.StatusCodes.BadInvalidState,
}
# A tripped plant stands still: instruments show their last value, cost and margins mean nothing.
_TRIPPED: Final[Mapping[Role, ua.StatusCode]] = {
    Role.MEASUREMENT: _LAST_USABLE,
    Role.MANIPULATED: _LAST_USABLE,
    Role.COST: _OUT_OF_SERVICE,
    Role.MARGIN: _OUT_OF_SERVICE,
}

Write = Callable[[str, Value], None]
"""Called with a client's value; raises Refused where it cannot be taken."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where the server listens (port 0: any free one) and the one account that may sign in."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)


class PlantServer:
    """An OPC UA server for one plant; use `start`, `update`, `count`, `stop` in one event loop."""

    def __init__(
        self,
        spec: PlantSpec,
        settings: ServerSettings,
        identity: Identity,
        trust: TrustList,
        write: Write,
    ) -> None:
        self._spec, self._settings, self._identity = spec, settings, identity
        self._trust, self._write = trust, write
        self._shown: dict[str, tuple[Value, ua.StatusCode]] = {}
        self._last_us = 0
        self._nodes: dict[str, ua.NodeId] = {}
        self._counter = next(s.key for s in spec.of(Role.COUNTER))
        self._server = Server(user_manager=_Door(settings, trust))

    @property
    def endpoint(self) -> str:
        """Address for clients; complete after `start`."""
        running = self._server.bserver
        port = running.port if running is not None else self._settings.port
        return f"opc.tcp://{self._settings.host}:{port}"

    async def prepare(self) -> None:
        """Load the standard address space and add the plant; about a second."""
        # Half a million objects are made and none dies: collecting meanwhile costs half a second.
        collecting = gc.isenabled()
        gc.disable()
        try:
            await self._prepare(self._server)
        finally:
            if collecting:
                gc.enable()

    async def _prepare(self, server: Server) -> None:
        server.set_server_name(f"{self._spec.title.en} (simulated)")
        server.set_endpoint(f"opc.tcp://{self._settings.host}:{self._settings.port}")
        server.product_uri = "urn:lineshaft:plant"
        server.manufacturer_name = "Lineshaft"
        server.application_type = ua.ApplicationType.Server
        await server.init()
        await server.set_application_uri(self._identity.uri)
        server.set_security_policy([ua.SecurityPolicyType.Basic256Sha256_SignAndEncrypt])
        server.set_identity_tokens([ua.UserNameIdentityToken])
        await server.load_certificate(self._identity.certificate)
        await server.load_private_key(self._identity.key)
        iserver = server.iserver
        iserver.certificate_validator = self._check_certificate
        iserver.attribute_service = _Attributes(iserver.aspace, self._take)
        # A plant has one or two clients; these bounds keep a wrong one from eating the machine.
        iserver.max_connections = 50
        iserver.max_subscriptions = 100
        self._nodes = await build(server, self._spec)

    async def start(self) -> None:
        """Listen; raise Broken where the port is not free."""
        try:
            await self._server.start()
        except OSError as error:
            raise Broken(
                f"The plant cannot listen on {self._settings.host}:{self._settings.port}: "
                f"{os.strerror(error.errno or 0)}",
                hint="Stop what uses the port, or choose another one",
                code="plant.port",
            ) from error

    async def stop(self) -> None:
        """Close every connection and the port."""
        await self._server.stop()

    async def update(self, values: Mapping[str, Value], at_us: int, *, tripped: bool) -> int:
        """Write what has changed, all with the one stamp; return how many values that was."""
        stamp = _stamp(at_us)
        written = 0
        for key, value in values.items():
            signal = self._spec[key]
            status = _TRIPPED.get(signal.role, _GOOD) if tripped else _GOOD
            if isinstance(value, float) and not math.isfinite(value):
                status = _NO_VALUE
            if self._shown.get(key) == (value, status):
                continue
            self._shown[key] = (value, status)
            await self._put(key, value, status, stamp)
            written += 1
        return written

    async def count(self, number: int, at_us: int) -> None:
        """Write the counter; its stamps only ever grow, so that every count is a sample."""
        self._last_us = max(at_us, self._last_us + 1)
        await self._put(self._counter, number, _GOOD, _stamp(self._last_us))

    async def _put(self, key: str, value: Value, status: ua.StatusCode, stamp: datetime) -> None:
        data = ua.DataValue(
            Value=ua.Variant(value, VARIANT[self._spec[key].kind]),
            StatusCode=status,
            SourceTimestamp=stamp,
            ServerTimestamp=stamp,
        )
        await self._server.iserver.write_attribute_value(self._nodes[key], data)

    async def _take(self, item: ua.WriteValue) -> ua.StatusCode:
        """Answer one item of a client's write request."""
        key = item.NodeId.Identifier
        signal = self._spec.get(key) if isinstance(key, str) else None
        if signal is None or item.NodeId != self._nodes[signal.key] or not signal.writable:
            return ua.StatusCode(ua.StatusCodes.BadUserAccessDenied)
        sent: ua.DataValue = item.Value
        if item.IndexRange or (sent.StatusCode is not None and not sent.StatusCode.is_good()):
            return ua.StatusCode(ua.StatusCodes.BadWriteNotSupported)
        variant = sent.Value
        if variant is None or variant.VariantType is not VARIANT[signal.kind] or variant.is_array:
            return ua.StatusCode(ua.StatusCodes.BadTypeMismatch)
        try:
            self._write(signal.key, variant.Value)
        except Refused as refused:
            code = _REFUSALS.get(refused.code, ua.StatusCodes.BadWriteNotSupported)
            return ua.StatusCode(code)
        self._shown[signal.key] = (variant.Value, _GOOD)
        await self._put(signal.key, variant.Value, _GOOD, _stamp(now_us()))
        return ua.StatusCode()

    async def _check_certificate(
        self, certificate: Any, application: ua.ApplicationDescription
    ) -> None:
        der = certificate.public_bytes(Encoding.DER)
        if not await asyncio.to_thread(self._trust.accepts, der):
            raise ServiceError(ua.StatusCodes.BadCertificateUntrusted)


class _Door:
    """Lets in the one user, over a channel whose certificate is trusted."""

    def __init__(self, settings: ServerSettings, trust: TrustList) -> None:
        self._settings, self._trust = settings, trust

    def get_user(
        self,
        iserver: Any,
        username: str | None = None,
        password: str | bytes | None = None,
        certificate: bytes | None = None,
    ) -> User | None:
        """Return the user, or None to refuse; `certificate` is that of the secure channel."""
        if certificate is None or not self._trust.accepts(certificate):
            return None
        given = password if isinstance(password, bytes) else (password or "").encode()
        right_user = hmac.compare_digest((username or "").encode(), self._settings.user.encode())
        right_password = hmac.compare_digest(given, self._settings.password.encode())
        if not (right_user and right_password):
            logging.getLogger(__name__).warning("a sign-in with a wrong user or password")
            return None
        return User(role=UserRole.User, name=username)


class _Attributes(AttributeService):  # type: ignore[misc]
    """The attribute service, with clients' writes handed to the plant one by one."""

    def __init__(self, aspace: AddressSpace, take: Callable[[ua.WriteValue], Any]) -> None:
        super().__init__(aspace)
        self._take = take

    async def write(
        self,
        params: ua.WriteParameters,
        user: User = User(role=UserRole.Admin),  # noqa: B008
    ) -> list[ua.StatusCode]:
        """Write as the server itself, or let the plant answer a client."""
        if user.role is UserRole.Admin:
            answers: list[ua.StatusCode] = await super().write(params, user)
            return answers
        return [
            await self._take(item)
            if item.AttributeId == ua.AttributeIds.Value
            else ua.StatusCode(ua.StatusCodes.BadUserAccessDenied)
            for item in params.NodesToWrite
        ]


def _stamp(at_us: int) -> datetime:
    return _EPOCH + timedelta(microseconds=at_us)
