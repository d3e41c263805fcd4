"""Drafts of the demo plants, which nothing in the platform knows: over real sockets, end to end."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.platform import Platform, running, until

pytestmark = [pytest.mark.trial, pytest.mark.timeout(900)]  # four minutes are the plant alone
SPEED = 60.0
HOURS = 4.0  # of the plant


@pytest.fixture(scope="module", params=["williams-otto", "tep"])
def plant(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp(request.param) / "data"
    with running(folder, "--plant", request.param) as platform:
        platform.wait_connected()
        platform.post("panel", {"speed": SPEED})
        until("the plant runs faster", lambda: platform.get("panel")["speed"] == SPEED)
        for number in (1, 7):  # at rest nothing moves, so nothing can be learned
            platform.post("panel", {"disturbance": {"id": number, "on": True}})
        time.sleep(HOURS * 3600 / SPEED)
        yield platform


def drafted(plant: Platform, **asked: Any) -> Any:
    begun = plant.post("twins/draft", {**asked, "wait_s": 0})

    def done() -> Any:
        answer = plant.get(f"twins/draft/{begun['id']}")
        return answer if answer["state"] == "done" else None

    return until("the draft is done", done, 400)


def test_a_whole_plant_is_drafted_with_its_clock(plant: Platform) -> None:
    sids = {path: signal["sid"] for path, signal in plant.signals().items()}
    paths = {sid: path for path, sid in sids.items()}
    base = next(path for path in sids if path.endswith("/plant/speed")).removesuffix("/plant/speed")
    answer = drafted(plant, machine=base)
    assert answer["machine"] == base and len(answer["drafts"]) >= 3
    for draft in answer["drafts"]:
        twin, lines = draft["twin"], {one["name"]: one for one in draft["fields"]}
        assert twin["clock"] == sids[f"{base}/plant/speed"] and lines["clock"]["confidence"] > 0.8
        bound = [paths[sid] for sid in (*twin["inputs"].values(), *twin["outputs"].values())]
        assert not [
            path
            for path in bound
            if any(
                word in path for word in ("economics", "heartbeat", "counter", "margin", "clock")
            )
        ]
        assert twin["machine"].startswith(base)
    assert max(draft["told"] for draft in answer["drafts"]) > 0.5
    made = plant.post("twins", answer["drafts"][0]["twin"])
    until(
        "the twin runs",
        lambda: plant.get(f"twins/{made['id']}")["state"] in ("untaught", "running"),
    )


def test_a_machine_is_drafted_by_its_name(plant: Platform) -> None:
    base = next(path for path in plant.signals() if path.endswith("/reactor/temperature"))
    answer = drafted(plant, machine=base.removesuffix("/temperature"))
    kinds = [line["value"] for draft in answer["drafts"] for line in draft["fields"]
             if line["name"] == "class"]  # fmt: skip
    assert "thermal-mass" in kinds  # the class of reactors, whatever behaviour shows it
