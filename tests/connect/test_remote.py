"""Who commands the plant: us while our heart beats, the plant itself as soon as it does not.

A real simulated plant in its own process, reached through the whole of `connect`; only the heart
beats for it, and each of us is killed in turn.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from asyncua import ua

from lineshaft.bus import Bus
from lineshaft.clock import now_us
from lineshaft.core.commands import Command, Ending
from lineshaft.core.errors import LineshaftError
from lineshaft.rooms.connect.demo import DEMO_ID, ensure_demo_source
from lineshaft.rooms.decide.actuate import guarded
from lineshaft.rooms.decide.heart import Heart, Held
from tests.connect.conftest import SITE, House, until
from tests.connect.test_link import connected
from tests.connect.test_write import chain
from tests.decide.journal import MemoryJournal
from tests.plants.conftest import PASSWORD, USER, client_identity, connect, wait_for
from tests.support.nats import NatsServer

TIMEOUT_S = 2.5
SETPOINT = "reactor/temperature-sp"


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("plant")
    (folder / "password").write_text(PASSWORD)
    process = subprocess.Popen(
        [sys.executable, "-m", "lineshaft.plants", "--kind", "williams-otto", "--user", USER,
         "--password-file", str(folder / "password"), "--folder", str(folder), "--speed", "60",
         "--heartbeat-timeout-s", str(TIMEOUT_S), "--trust-any"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())
    process.kill()
    process.wait()


@pytest.fixture
async def site(house: House, plant: dict[str, Any]) -> AsyncIterator[House]:
    """The plant as the demo's source, under local control at the end as at the beginning."""
    certificate = await asyncio.to_thread(Path(plant["certificate"]).read_bytes)
    ensure_demo_source(
        house.store, house.folder, endpoint=plant["endpoint"], user=USER, password=PASSWORD,
        certificate=certificate, now_us=now_us(), view=plant["kind"], prefix="lineshaft/demo/a/b",
    )  # fmt: skip
    house.service.apply()
    await connected(house, DEMO_ID, 30)
    yield house
    with suppress(LineshaftError):
        await house.ask("beat", wish=house.sid("control/remote"), number=0, remote=False)


async def shows(site: House, suffix: str) -> Any:
    try:
        answer = await site.ask("read", sid=site.sid(suffix))
    except LineshaftError:
        return None  # not connected
    return answer["value"] if answer["text"] is None else answer["text"]


async def becomes(site: House, suffix: str, wanted: Any, seconds: float = 60) -> None:
    async def holds() -> bool:
        return bool(await shows(site, suffix) == wanted)

    await until(holds, seconds, f"{suffix} becomes {wanted}")


def held(site: House) -> Held:
    return Held(site.sid("control/heartbeat"), site.sid("control/remote"))


async def test_the_plant_obeys_a_beating_heart_and_helps_itself_without(site: House) -> None:
    heart = Heart(site.bus, period_s=0.3)
    beating = asyncio.create_task(heart.run())
    await becomes(site, "control/state", "local")
    local = await shows(site, SETPOINT)
    journal, sid = MemoryJournal(), site.sid(SETPOINT)

    async def tell(value: float, before: float) -> Any:
        at = now_us()
        wish = Command(f"t{at}", sid, value, at, at + 8_000_000, "loop", before=before)
        return await asyncio.wait_for(guarded(chain(site.bus, sid, journal)).write(wish), 20)

    refused = await tell(local + 1, local)
    assert (refused.ending, refused.guard) == (Ending.REFUSED, "machine")
    assert "remote control" in refused.reason

    heart.hold("loop", held(site))
    await becomes(site, "control/state", "remote")
    assert await shows(site, SETPOINT) == local, "taking over changes nothing"
    assert (await tell(local + 1, local)).ending is Ending.DONE
    await asyncio.sleep(1.5 * TIMEOUT_S)
    assert await shows(site, "control/state") == "remote", "for as long as it beats"
    assert await shows(site, SETPOINT) == local + 1

    beating.cancel()  # the process decide dies
    await becomes(site, "control/state", "fallback")
    await becomes(site, SETPOINT, local)
    assert (await tell(local + 1, local)).ending is Ending.REFUSED

    heart = Heart(site.bus, period_s=0.3)  # and comes back
    heart.hold("loop", held(site))
    beating = asyncio.create_task(heart.run())
    await becomes(site, "control/state", "remote")
    assert await shows(site, SETPOINT) == local, "no bump at the return either"
    assert heart.trouble(held(site)) == ""

    heart.let_go("loop")  # on purpose: back to local at once
    await becomes(site, "control/state", "local")
    beating.cancel()


async def test_the_plant_helps_itself_when_connect_dies(
    site: House, plant: dict[str, Any], nats: NatsServer, tmp_path: Path
) -> None:
    own = await Bus.connect(nats.access, SITE, "decide")  # outlives connect's
    heart = Heart(own, period_s=0.3)
    heart.hold("loop", held(site))
    beating = asyncio.create_task(heart.run())
    await becomes(site, "control/state", "remote")
    await site.stop()
    await site.bus.close()
    await until(lambda: heart.trouble(held(site)), 30, "the heart knows that it is not heard")
    server: Any = SimpleNamespace(
        endpoint=plant["endpoint"], certificate=Path(plant["certificate"])
    )
    async with connect(server, client_identity(tmp_path)) as witness:
        index = await witness.get_namespace_index(f"urn:lineshaft:plant:{plant['kind']}")
        state = witness.get_node(ua.NodeId("control/state", index))
        await wait_for(state, "fallback", 30)
        site.bus = await Bus.connect(nats.access, SITE, "connect again")
        await site.start()
        await connected(site, DEMO_ID, 60)
        await wait_for(state, "remote", 30)  # by the beats that arrive again
        beating.cancel()
        await wait_for(state, "fallback", 30)
    await becomes(site, "control/state", "fallback")
    await own.close()
