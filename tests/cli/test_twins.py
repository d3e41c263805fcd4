"""`lineshaft twins` and `lineshaft whatif` beside a running platform."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.platform import lineshaft, running
from tests.web.conftest import House, made


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with running(tmp_path_factory.mktemp("twins") / "data", verb="up", kind=House) as house:
        assert isinstance(house, House)
        yield house


def run(house: House, *arguments: str) -> Any:
    done = lineshaft(*arguments, "--data", str(house.folder), "--port", str(house.port))
    assert "Traceback" not in done.stderr
    return done


def test_twins_are_listed_and_asked(house: House) -> None:
    done = run(house, "twins")
    assert done.returncode == 0 and "no machine is mirrored yet" in done.stderr
    drive, level = house.register(made("heater/drive", unit="%"), made("heater/temp", unit="Cel"))
    twin = house.post("twins", {
        "name": "heater", "machine": "lineshaft/demo/test/web/m", "behaviour": "lag",
        "inputs": {"drive": drive}, "outputs": {"level": level},
        "parameters": {"gain": {"value": 0.5}, "bias": {"value": 5}, "time_constant": {"value": 9}},
    })  # fmt: skip
    (listed,) = json.loads(run(house, "twins", "--json").stdout)
    assert (listed["id"], listed["state"], listed["score"]) == (twin["id"], "waiting", None)
    assert "heater  lineshaft/demo/test/web/m  lag" in run(house, "twins").stdout

    path = "lineshaft/demo/test/web/m/heater/drive"
    asked = ["whatif", "heater", "--horizon", "15m", "--set", f"{path}=80@300", "--futures", "20"]
    answer = json.loads(run(house, *asked, "--json").stdout)
    stay, changed = (future["outputs"][0]["middle"] for future in answer["futures"])
    half = answer["times"].index(450)
    assert answer["times"][-1] == 900 and len(changed) == len(answer["times"])
    assert changed[:half // 2] == pytest.approx(stay[:half // 2], abs=1e-9)  # fmt: skip
    assert changed[-1] == pytest.approx(0.5 * 80 + 5, abs=1)
    told = run(house, *asked).stdout
    assert "heater: level  as it is" in told and "heater: level  changed" in told
    by_id = ["whatif", twin["id"], "--set", f"{drive}=80", "--at", "2026-01-31T08:00Z", "--json"]
    assert json.loads(run(house, *by_id).stdout)["at"] == 1_769_846_400_000_000


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "no twins are called 'nobody'"),
        (["pump", "--set", "1=much"], "'1=much' is no change"),
        (["pump", "--set", "1=nan"], "'1=nan' is no change"),
        (["pump", "--set", "2=5"], "the signal 2 moves none of these twins"),
        (["pump", "--set", "no/such=5"], "no signal begins with 'no/such'"),
        (["pump", "--horizon", "long"], "'long' is no duration"),
        (["pump", "--at", "then"], "'then' is no time"),
    ],
)
def test_a_question_that_cannot_be_is_refused(
    house: House, arguments: list[str], said: str
) -> None:
    drive, level = house.register(made("pump/drive"), made("pump/level"))
    draft = {"name": "pump", "machine": "lineshaft/demo/test/web/m", "behaviour": "lag",
             "inputs": {"drive": drive}, "outputs": {"level": level}}  # fmt: skip
    assert house.ask("POST", "twins", draft).status_code in (201, 409)
    done = run(house, "whatif", *arguments)
    assert done.returncode == 2
    assert said in done.stderr and done.stderr.count("\n") == 1
