"""A client for the plants' servers, and the reason why a test of the Eastman plant is skipped."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from asyncua import Client, Node, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from lineshaft.clock import monotonic_s
from lineshaft.core.errors import Broken
from lineshaft.plants.pki import Identity, make_identity
from lineshaft.plants.process import RunningPlant
from lineshaft.plants.tep.binding import load

USER, PASSWORD = "operator", "correct horse battery"


def tep_missing() -> str:
    """Return why the Eastman plant cannot run, or nothing."""
    try:
        load()
    except Broken as broken:
        return str(broken)
    return ""


needs_tep = pytest.mark.skipif(bool(tep_missing()), reason=tep_missing() or "it can run")


def client_identity(folder: Path, uri: str = "urn:lineshaft:test-client") -> Identity:
    return make_identity(folder, name="Test client", uri=uri, hosts=["localhost"])


Connect = Callable[..., contextlib.AbstractAsyncContextManager[Client]]


@contextlib.asynccontextmanager
async def connect(
    running: RunningPlant, identity: Identity, *, user: str = USER, password: str = PASSWORD
) -> AsyncIterator[Client]:
    """Open a session as a well-behaved client would."""
    client = Client(running.endpoint, timeout=10)
    client.application_uri = identity.uri
    await client.set_security(
        SecurityPolicyBasic256Sha256,
        certificate=identity.certificate,
        private_key=identity.key,
        server_certificate=running.certificate,
        mode=ua.MessageSecurityMode.SignAndEncrypt,
    )
    client.set_user(user)
    client.set_password(password)
    await client.connect()
    try:
        yield client
    finally:
        await client.disconnect()


async def wait_for(found: Node, value: object, seconds: float = 8.0) -> None:
    """Wait until the node has the value, or fail after so many seconds."""
    deadline = monotonic_s() + seconds
    while (seen := await found.read_value()) != value:
        assert monotonic_s() < deadline, f"{found}: still {seen!r}, not {value!r}"
        await asyncio.sleep(0.05)
