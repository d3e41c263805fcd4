"""Shops and schedules as JSON, as they are kept in a table and handed to the solver's process."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lineshaft.core.errors import Broken
from lineshaft.rooms.decide.schedule.model import (
    Cost,
    Machine,
    Operation,
    Order,
    Placed,
    Schedule,
    Shift,
    Shop,
    Started,
    Weights,
    Window,
)

__all__ = ["schedule_from", "schedule_json", "shop_from", "shop_json"]


def shop_json(shop: Shop) -> str:
    """Return a shop as JSON text."""
    body = asdict(shop)
    body["setups"] = [[machine, before, after, seconds] for machine, table in shop.setups.items()
                      for (before, after), seconds in table.items()]  # fmt: skip
    return json.dumps(body, separators=(",", ":"), sort_keys=True)


def shop_from(text: str) -> Shop:
    """Read what `shop_json` wrote."""
    try:
        body: dict[str, Any] = json.loads(text)
        setups = dict[str, dict[tuple[str, str], int]]()
        for machine, before, after, seconds in body["setups"]:
            setups.setdefault(machine, {})[before, after] = seconds
        return Shop(**{
            **body, "setups": setups, "weights": Weights(**body["weights"]),
            "machines": tuple(_machine(one) for one in body["machines"]),
            "orders": tuple(_order(one) for one in body["orders"]),
            "started": tuple(Started(**one) for one in body["started"]),
        })  # fmt: skip
    except (ValueError, KeyError, TypeError) as error:
        raise _spoilt("shop", error) from error


def _machine(body: Mapping[str, Any]) -> Machine:
    shifts = tuple(Shift(**{**one, "days": tuple(one["days"])}) for one in body["shifts"])
    closed = tuple(Window(**one) for one in body["closed"])
    return Machine(**{**body, "shifts": shifts, "closed": closed})


def _order(body: Mapping[str, Any]) -> Order:
    steps = tuple(Operation(**{**one, "after": tuple(one["after"])}) for one in body["operations"])
    return Order(**{**body, "operations": steps})


def schedule_json(schedule: Schedule) -> str:
    """Return a schedule as JSON text, its rows as lists."""
    rows = [[r.order, r.operation, r.machine, r.start, r.end, r.setup] for r in schedule.rows]
    body = {"rows": rows, "cost": asdict(schedule.cost), "method": schedule.method}
    return json.dumps(body, separators=(",", ":"), sort_keys=True)


def schedule_from(text: str) -> Schedule:
    """Read what `schedule_json` wrote."""
    try:
        body: dict[str, Any] = json.loads(text)
        rows = tuple(Placed(*row) for row in body["rows"])
        return Schedule(rows, Cost(**body["cost"]), body["method"])
    except (ValueError, KeyError, TypeError) as error:
        raise _spoilt("schedule", error) from error


def _spoilt(what: str, error: Exception) -> Broken:
    return Broken(f"a kept {what} cannot be read: {error!r}"[:300], code="schedule.kept",
                  hint="The record was changed by hand, or its file is damaged", retryable=False
                  )  # fmt: skip
