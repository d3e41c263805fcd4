"""Shops as people write them: read, or refused with the place and the reason."""

import pickle
from typing import Any

import pytest

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.schedule.kept import (
    schedule_from,
    schedule_json,
    shop_from,
    shop_json,
)
from lineshaft.rooms.decide.schedule.model import Shift
from lineshaft.rooms.decide.schedule.reading import MOST_BYTES, read_orders, read_shop

_CSV = """order,operation,machine,duration_min,after,due,may_pause
A,10,saw,30,,2026-12-01T12:00,
A,10,saw2,40,,,
A,20,mill,12.5,,,no
A,30,mill,5,10,,
B,10,mill,20,-,2026-12-01T12:00+00:00,yes
"""


def _body(**change: Any) -> dict[str, Any]:
    operations = [{"id": "10", "minutes": {"M1": 30}}, {"id": "20", "minutes": {"M2": 5}}]
    return {
        "name": "shop", "zone": "Asia/Shanghai", "start": "2026-12-01T08:00",
        "machines": [{"id": "M1", "shifts": [{"days": "mon-fri", "begin": "06:00",
                                              "end": "22:00"}]}, {"id": "M2"}],
        "orders": [{"id": "O1", "operations": operations}], **change,
    }  # fmt: skip


def test_a_table_of_orders_is_read() -> None:
    shop = read_shop({"orders_csv": _CSV, "zone": "Asia/Shanghai"}, 1_000_500)
    assert shop.start == 2_000_000
    assert [one.id for one in shop.machines] == ["mill", "saw", "saw2"]
    first, second = shop.orders
    assert first.operations[0].choices == {"saw": 1800, "saw2": 2400}
    assert first.operations[1].choices == {"mill": 750}
    assert [one.after for one in first.operations] == [(), ("10",), ("10",)]
    assert not first.operations[1].may_pause
    assert second.due is not None
    assert first.due == second.due - 8 * 3_600_000_000


def test_a_body_is_read_and_kept() -> None:
    shop = read_shop(_body(setups=[{"before": "x", "minutes": 10}]), 0)
    assert shop.machines[0].shifts == (Shift((1, 2, 3, 4, 5), 6 * 3600, 22 * 3600),)
    assert shop.orders[0].operations[1].after == ("10",)
    assert shop.start == 1_796_083_200_000_000
    assert shop_from(shop_json(shop)) == shop


def test_schedules_are_kept() -> None:
    from lineshaft.rooms.decide.schedule import jobs

    schedule = jobs.first(read_shop(_body(), 0))
    assert schedule_from(schedule_json(schedule)) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    shop = read_shop(_body(), 0)
    assert pickle.loads(pickle.dumps(shop)) == shop


@pytest.mark.parametrize(
    ("line", "place", "code"),
    [
        ("A,40,press,,,,", "line 7, column 'duration_min'", "shop.csv"),
        ("A,40,press,-3,,,", "line 7, column 'duration_min'", "shop.duration"),
        ("A,40,press,soon,,,", "line 7, column 'duration_min'", "shop.duration"),
        ("A,40,press,1e300,,,", "line 7, column 'duration_min'", "shop.duration"),
        ("A,40,,3,,,", "line 7, column 'machine'", "shop.csv"),
        ("A,40,mill,3,99,,", "line 7, column 'after'", "shop.after"),
        ("A,40,mill,3,40,,", "line 7, column 'after'", "shop.cycle"),
        ("A,10,lathe,3,,,", "line 7, column 'operation'", "shop.twice"),
        ("B,10,mill,3,,,", "line 7, column 'machine'", "shop.twice"),
        ("C,10,mill,3,,tomorrow,", "line 7, column 'due'", "shop.time"),
        ("C,10,mill,3,,,maybe", "line 7, column 'may_pause'", "shop.csv"),
        ("C,10,mill,3,,,,,", "line 7: 9 cells", "shop.columns"),
        ('C,10,"mill', "line 7", "shop.csv"),
    ],
)  # fmt: skip
def test_a_wrong_line_is_named(line: str, place: str, code: str) -> None:
    with pytest.raises(Refused) as caught:
        read_shop({"orders_csv": _CSV + line}, 0)
    assert place in caught.value.message
    assert caught.value.code == code
    assert caught.value.hint or code == "shop.after"


def test_a_ring_is_spelt_out() -> None:
    table = "order,operation,machine,duration_min,after\nA,1,m,1,3\nA,2,m,1,1\nA,3,m,1,2\n"
    with pytest.raises(Refused, match=r"line \d, column 'after': .*1 → 2 → 3 → 1|2 → 3 → 1 → 2|"
                                      r"3 → 1 → 2 → 3"):  # fmt: skip
        read_shop({"orders_csv": table}, 0)


@pytest.mark.parametrize(
    ("change", "place", "code"),
    [
        ({"orders": []}, "no orders", "shop.empty"),
        ({"machines": []}, "no machines", "shop.empty"),
        ({"zone": "Mars"}, "Mars", "shop.zone"),
        ({"zone": "../../etc/passwd"}, "passwd", "shop.zone"),
        ({"start": "now"}, "start", "shop.time"),
        ({"start": 1 << 60}, "start", "shop.time"),
        ({"machines": [{"id": "M1"}, {"id": "M1"}]}, "machines[0].id", "shop.twice"),
        ({"orders": [{"id": "O", "operations": []}]}, "orders[0].operations", "shop.empty"),
        ({"orders": [{"id": "O", "operations": [{"id": "1", "minutes": {}}]}]},
         "orders[0].operations[0].machine", "shop.choice"),
        ({"orders": [{"id": "O", "operations": [{"id": "1", "minutes": {"X": 1}}]}]},
         "orders[0].operations[0].machine", "shop.machine"),
        ({"orders": [{"id": "O", "operations": [{"id": "1", "minutes": {"M1": -1}}]}]},
         "orders[0].operations[0].duration", "shop.duration"),
        ({"orders": [{"id": "O", "operations": [{"id": "1", "minutes": {"M1": float("nan")}}]}]},
         "orders[0].operations[0].minutes.M1", "shop.duration"),
        ({"machines": [{"id": "M1", "shifts": [{"days": "noday", "begin": "06:00",
                                                "end": "14:00"}]}]},
         "machines[0].shifts[0].days", "shop.shift"),
        ({"machines": [{"id": "M1", "shifts": [{"days": "mon", "begin": "6h", "end": "14:00"}]}]},
         "machines[0].shifts[0].begin", "shop.shift"),
        ({"started": [{"order": "O1", "operation": "20", "machine": "M2", "start": 0}]},
         "started[0].operation", "shop.started"),
        ({"setups": [{"machine": "X", "minutes": 1}]}, "setups[0].machine", "shop.machine"),
        ({"weights": {"tardiness": -1}}, "weights", "shop.weights"),
    ],
)  # fmt: skip
def test_a_wrong_body_is_refused_with_its_place(
    change: dict[str, Any], place: str, code: str
) -> None:
    with pytest.raises(Refused) as caught:
        read_shop(_body(**change), 0)
    assert place in caught.value.message
    assert caught.value.code == code


def test_a_table_may_not_be_endless() -> None:
    with pytest.raises(Refused, match="too long"):
        read_orders("x" * (MOST_BYTES + 1))


def test_an_operation_longer_than_every_shift_is_refused_where_it_may_not_pause() -> None:
    from lineshaft.rooms.decide.schedule.engine.problem import compile_shop

    step = {"id": "1", "minutes": {"M1": 17 * 60}, "may_pause": False}
    body = _body(orders=[{"id": "O1", "operations": [step]}])
    with pytest.raises(Refused, match="may not pause"):
        compile_shop(read_shop(body, 0))
    step["may_pause"] = True
    compile_shop(read_shop(body, 0))
