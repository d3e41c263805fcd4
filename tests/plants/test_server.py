"""The OPC UA server against a real client on a real socket."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

import pytest
import pytest_asyncio
from asyncua import Client, Node, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from lineshaft.clock import monotonic_s
from lineshaft.plants.pki import Identity
from lineshaft.plants.process import PlantSettings, RunningPlant, open_plant
from lineshaft.plants.signals import Role
from tests.plants.conftest import PASSWORD, USER, client_identity, connect, wait_for

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def friend(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return client_identity(tmp_path_factory.mktemp("friend"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, friend: Identity) -> Path:
    folder = tmp_path_factory.mktemp("plant")
    trusted = folder / "pki" / "trusted"
    trusted.mkdir(parents=True)
    (trusted / "friend.der").write_bytes(friend.certificate.read_bytes())
    (trusted / "broken.der").write_bytes(b"not a certificate")
    return folder


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def running(folder: Path) -> AsyncIterator[RunningPlant]:
    settings = PlantSettings(
        folder=folder, user=USER, password=PASSWORD, kind="williams-otto",
        counter_period_ms=20, heartbeat_timeout_s=1.5,
    )  # fmt: skip
    async with open_plant(settings) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def client(running: RunningPlant, friend: Identity) -> AsyncIterator[Client]:
    async with connect(running, friend) as client:
        yield client


async def node(client: Client, key: str) -> Node:
    index = await client.get_namespace_index("urn:lineshaft:plant:williams-otto")
    return client.get_node(ua.NodeId(key, index))


async def refused(found: Node, value: object, kind: ua.VariantType) -> str:
    with pytest.raises(ua.UaStatusCodeError) as error:
        await found.write_value(ua.DataValue(ua.Variant(value, kind)))
    return str(error.value)


# Security


async def test_the_only_endpoint_is_encrypted_and_takes_a_password(running: RunningPlant) -> None:
    endpoints = await Client(running.endpoint).connect_and_get_server_endpoints()
    (endpoint,) = endpoints
    assert endpoint.SecurityPolicyUri == SecurityPolicyBasic256Sha256.URI
    assert endpoint.SecurityMode == ua.MessageSecurityMode.SignAndEncrypt
    assert [t.TokenType for t in endpoint.UserIdentityTokens] == [ua.UserTokenType.UserName]
    assert endpoint.ServerCertificate == running.certificate.read_bytes()
    assert endpoint.Server.ApplicationUri == "urn:lineshaft:plant"


async def test_anonymous_is_refused(running: RunningPlant, friend: Identity) -> None:
    client = Client(running.endpoint)
    client.application_uri = friend.uri
    await client.set_security(
        SecurityPolicyBasic256Sha256, friend.certificate, friend.key,
        server_certificate=running.certificate, mode=ua.MessageSecurityMode.SignAndEncrypt,
    )  # fmt: skip
    with pytest.raises(ua.UaError):
        await client.connect()


async def test_an_unencrypted_channel_gets_no_session(running: RunningPlant) -> None:
    """Not even with the right password: asyncua would take it, so the plant must not."""
    client = Client(running.endpoint)
    client.set_user(USER)
    client.set_password(PASSWORD)
    await client.connect_socket()
    try:
        await client.send_hello()
        await client.open_secure_channel()
        with pytest.raises((ua.UaError, KeyError)):
            # The client library looks for an unencrypted endpoint and finds none ...
            await client.create_session()
        params = ua.CreateSessionParameters()
        params.ClientNonce = b"n" * 32
        params.EndpointUrl = running.endpoint
        params.RequestedSessionTimeout = 10_000
        await client.uaclient.create_session(params)
        activate = ua.ActivateSessionParameters()
        activate.UserIdentityToken = ua.UserNameIdentityToken(
            PolicyId="username", UserName=USER, Password=PASSWORD.encode()
        )
        # ... and one that insists is turned away at the door.
        with pytest.raises(ua.uaerrors.BadUserAccessDenied):
            await client.uaclient.activate_session(activate)
    finally:
        client.disconnect_socket()


@pytest.mark.parametrize(
    ("user", "password"), [(USER, "wrong"), (USER, ""), ("admin", PASSWORD), ("", "")]
)
async def test_a_wrong_password_or_user_is_refused(
    running: RunningPlant, friend: Identity, user: str, password: str
) -> None:
    with pytest.raises(ua.UaError):
        async with connect(running, friend, user=user, password=password):
            pass


async def test_an_unknown_certificate_is_quarantined_until_a_person_trusts_it(
    running: RunningPlant, folder: Path, tmp_path: Path
) -> None:
    stranger = client_identity(tmp_path, "urn:lineshaft:stranger")
    with pytest.raises(ua.uaerrors.BadCertificateUntrusted):
        async with connect(running, stranger):
            pass
    (kept,) = (folder / "pki" / "quarantine").iterdir()
    assert kept.read_bytes() == stranger.certificate.read_bytes()
    kept.rename(folder / "pki" / "trusted" / kept.name)
    async with connect(running, stranger) as client:
        await (await node(client, "reactor/temperature")).read_value()
    (folder / "pki" / "trusted" / kept.name).unlink()
    with pytest.raises(ua.uaerrors.BadCertificateUntrusted):
        async with connect(running, stranger):
            pass


async def test_clients_may_not_change_the_address_space(client: Client) -> None:
    with pytest.raises(ua.UaError):
        await client.nodes.objects.add_variable(2, "mine", 1.0)
    found = await node(client, "reactor/temperature-sp")
    with pytest.raises(ua.UaError):
        await found.write_attribute(
            ua.AttributeIds.UserAccessLevel, ua.DataValue(ua.Variant(3, ua.VariantType.Byte))
        )


# What a client sees


async def test_the_tree_names_units_ranges_and_limits(
    client: Client, running: RunningPlant
) -> None:
    plant = await client.nodes.objects.get_child(f"{await index_of(client)}:williams-otto")
    seen: dict[str, Node] = {}
    for machine in await plant.get_children():
        for found in await machine.get_children(nodeclassmask=ua.NodeClass.Variable):
            name = (await machine.read_browse_name()).Name
            seen[f"{name}/{(await found.read_browse_name()).Name}"] = found
    assert set(seen) == {signal.key for signal in running.spec.signals}

    found = seen["reactor/temperature"]
    properties = {
        (await p.read_browse_name()).Name: await p.read_value()
        for p in await found.get_properties()
    }
    unit = properties["EngineeringUnits"]
    assert unit.DisplayName.Text == "°C"
    assert unit.UnitId == 4408652  # UN/CEFACT "CEL"
    assert unit.NamespaceUri == "http://www.opcfoundation.org/UA/units/un/cefact"
    assert (properties["EURange"].Low, properties["EURange"].High) == (40.0, 130.0)
    assert (properties["NormalLow"], properties["NormalHigh"]) == (70.0, 100.0)
    assert (properties["Decimals"], properties["ValuePrecision"]) == (2, 2.0)
    assert (properties["Definition"], properties["Role"]) == ("T", "measurement")
    assert (await found.read_display_name()).Text == "Reactor temperature"
    assert (await found.read_type_definition()).Identifier == ua.ObjectIds.AnalogItemType
    profit = await (await node(client, "economics/profit")).get_properties()
    units = [p for p in profit if (await p.read_browse_name()).Name == "EngineeringUnits"]
    assert (await units[0].read_value()).DisplayName.Text == "[USD]/s"


async def index_of(client: Client) -> int:
    return int(await client.get_namespace_index("urn:lineshaft:plant:williams-otto"))


async def test_every_number_has_a_unit_and_every_analog_a_range(
    client: Client, running: RunningPlant
) -> None:
    for signal in running.spec.signals:
        names = {
            (await p.read_browse_name()).Name
            for p in await (await node(client, signal.key)).get_properties()
        }
        assert ("EngineeringUnits" in names) == (signal.kind in ("float", "int")), signal.key
        if signal.role in (Role.MEASUREMENT, Role.MANIPULATED, Role.SETPOINT, Role.COST):
            assert "EURange" in names, signal.key


async def test_values_of_one_update_share_a_stamp_and_move_on(client: Client) -> None:
    keys = ["reactor/temperature", "reactor/level", "feed/a-flow", "plant/clock"]
    nodes = [await node(client, key) for key in keys]
    stamps: set[datetime] = set()
    deadline = monotonic_s() + 5
    while len(stamps) < 3:
        assert monotonic_s() < deadline
        values = await client.read_attributes(nodes)
        # One read is one moment of the server: no update can come between its items.
        (stamp,) = {value.SourceTimestamp for value in values}
        stamps.add(stamp)
        await asyncio.sleep(0.1)
    assert all(value.StatusCode.is_good() for value in values)


class Seen:
    def __init__(self) -> None:
        self.values: list[tuple[int, datetime]] = []

    def datachange_notification(self, found: Node, value: int, data: object) -> None:
        self.values.append((value, data.monitored_item.Value.SourceTimestamp))  # type: ignore[attr-defined]


async def test_the_counter_counts_without_a_hole_and_every_count_has_its_stamp(
    client: Client,
) -> None:
    seen = Seen()
    subscription = await client.create_subscription(100, seen)
    await subscription.subscribe_data_change(
        await node(client, "plant/counter"), queuesize=100, sampling_interval=0
    )
    deadline = monotonic_s() + 10
    while len(seen.values) < 100:
        assert monotonic_s() < deadline
        await asyncio.sleep(0.05)
    await subscription.delete()
    numbers = [number for number, _ in seen.values]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    stamps = [stamp for _, stamp in seen.values]
    assert stamps == sorted(set(stamps))


# What a client writes


async def test_writes_are_checked_one_by_one(client: Client) -> None:
    double, name = ua.VariantType.Double, "feed/b-flow-sp-local"
    local = await node(client, name)
    assert "BadOutOfRange" in await refused(local, 99.0, double)
    assert "BadOutOfRange" in await refused(local, float("nan"), double)
    assert "BadTypeMismatch" in await refused(local, "4.4", ua.VariantType.String)
    assert "BadTypeMismatch" in await refused(local, [4.4], double)
    measured = await node(client, "reactor/temperature")
    assert "BadUserAccessDenied" in await refused(measured, 80.0, double)
    assert "BadInvalidState" in await refused(await node(client, "feed/b-flow-sp"), 4.4, double)
    answers = await client.uaclient.write(
        ua.WriteParameters(
            [
                ua.WriteValue(local.nodeid, ua.AttributeIds.Value, None, ua.DataValue(4.4)),
                ua.WriteValue(measured.nodeid, ua.AttributeIds.Value, None, ua.DataValue(1.0)),
            ]
        )
    )
    assert [answer.is_good() for answer in answers] == [True, False]
    await wait_for(await node(client, "feed/b-flow-sp"), 4.4)
    await local.write_value(4.2)


async def test_remote_control_by_heartbeat_and_fallback_when_it_stops(client: Client) -> None:
    setpoint = await node(client, "reactor/temperature-sp")
    state, heartbeat = await node(client, "control/state"), await node(client, "control/heartbeat")
    await (await node(client, "control/remote")).write_value(True)
    await wait_for(state, "fallback")
    await heartbeat.write_value(1)
    await wait_for(state, "remote")
    await setpoint.write_value(90.0)
    for beat in range(2, 9):  # for longer than the time-out
        await heartbeat.write_value(beat)
        await asyncio.sleep(0.3)
        assert await setpoint.read_value() == 90.0
    await wait_for(state, "fallback")  # the heart has stopped
    assert "BadInvalidState" in await refused(setpoint, 95.0, ua.VariantType.Double)
    back = await setpoint.read_value()
    assert 89.0 < back <= 90.0  # on its way to 84, at the plant's pace: no bump
    await heartbeat.write_value(9)
    await wait_for(state, "remote")
    assert await setpoint.read_value() == pytest.approx(back, abs=0.1)
    await (await node(client, "control/remote")).write_value(False)
    await wait_for(state, "local")


async def test_trip_and_restart_as_a_client_sees_them(
    client: Client, running: RunningPlant
) -> None:
    await running.panel.handle({"restart": True})
    await running.panel.handle({"speed": 1800})
    await running.panel.handle({"disturbance": {"id": 9, "on": True}})
    tripped = await node(client, "plant/tripped")
    await wait_for(tripped, True, 20)
    assert await (await node(client, "plant/trip-cause")).read_value() == (
        "High Reactor Temperature"
    )
    measured = await node(client, "reactor/temperature")
    profit = await node(client, "economics/profit")
    assert (await measured.read_data_value(False)).StatusCode.name == "UncertainLastUsableValue"
    assert (await profit.read_data_value(False)).StatusCode.name == "BadOutOfService"
    assert (await (await node(client, "plant/counter")).read_data_value()).StatusCode.is_good()
    await running.panel.handle({"restart": True})
    await wait_for(tripped, False)
    assert (await measured.read_data_value()).StatusCode.is_good()
    await running.panel.handle({"speed": 1})
    await wait_for(await node(client, "plant/speed"), 1.0)
