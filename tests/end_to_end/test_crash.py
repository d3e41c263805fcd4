"""The crash proof on the whole platform: whatever dies, every count is stored once or declared."""

from collections.abc import Iterator

import pytest

from tests.end_to_end.platform import Platform, running, until
from tests.end_to_end.proof import NAMES, Proof, stop_for, stored_rows

# Commits every second, so that a random moment meets each of the writer's steps.
OFTEN = {"LINESHAFT__HISTORY__COMMIT_S": "1"}


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proof]:
    folder = tmp_path_factory.mktemp("crash") / "data"
    with running(folder, "--plant", "williams-otto", environ=OFTEN) as platform:
        platform.wait_connected()
        yield Proof(platform)


def test_each_process_is_killed_in_turn(proof: Proof) -> None:
    for name in proof.random.sample(NAMES, len(NAMES)):
        proof.wait_a_moment(1.5)
        proof.kill(name)
        proof.wait_live()
    proof.check()
    restarts = {p["name"]: p["restarts"] for p in proof.platform.get("system")["processes"]}
    assert restarts == dict.fromkeys(NAMES, 1)


def test_a_plant_that_says_nothing_is_told_lost_and_back(proof: Proof) -> None:
    platform = proof.platform
    before = len(platform.facts("link.lost"))
    proof.note("stop plant")
    stop_for(platform.family()["plant"], 10)
    proof.wait_live()
    until("the link is back", lambda: platform.source()["link"] == "connected")
    told = platform.facts("link.lost", "link.connected", "link.gap")
    lost = [fact for fact in told if fact["kind"] == "link.lost"]
    assert len(lost) > before
    assert lost[-1]["body"]["error"]["message"]
    after = [fact["kind"] for fact in told if fact["at"] > lost[-1]["at"]]
    assert "link.connected" in after and "link.gap" in after
    proof.check()


def test_the_supervisor_is_killed_and_everything_starts_anew(proof: Proof) -> None:
    platform = proof.platform
    proof.wait_a_moment(1.5)
    proof.note("kill supervisor")
    platform.kill()
    until("no process is left", lambda: not platform.left(), 20)
    platform.start()
    proof.wait_live()
    proof.check()


def test_after_an_orderly_end_no_row_is_stored_twice(proof: Proof) -> None:
    platform: Platform = proof.platform
    assert platform.stop() < 10
    assert platform.left() == []
    rows, twice = stored_rows(platform.folder)
    assert rows > 500
    assert twice == 0


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_fifty_kills_some_of_them_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("crashes") / "data"
    with running(folder, "--plant", "williams-otto", environ=OFTEN) as platform:
        platform.wait_connected()
        proof = Proof(platform)
        while len(proof.blows) < 50:
            proof.wait_a_moment(2)
            for name in proof.random.sample(NAMES, proof.random.choice([1, 1, 1, 2, 3])):
                proof.kill(name)
            if proof.random.random() < 0.7:  # else the next blow falls into the recovery
                proof.wait_live()
            if proof.random.random() < 0.06:
                proof.note("kill supervisor")
                platform.kill()
                until("no process is left", lambda: not platform.left(), 20)
                platform.start()
        proof.wait_live()
        proof.check()
        platform.stop()
        assert stored_rows(folder)[1] == 0
