"""Shops as people write them: JSON, and orders as CSV; every error says where it stands.

Rules: times are ISO 8601, in the shop's zone where they name none, or µs UTC; durations are minutes
of work, kept as whole seconds; an operation that names nothing before it follows the one that was
written before it. A CSV holds one choice of machine a line; lines of one operation stand together.
Places are those of the file: `line 7, column 'machine'` or `orders[2].operations[1].minutes`.
"""

import csv
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from lineshaft.core.errors import Refused
from lineshaft.rooms.decide.schedule.model import (
    ANY,
    Machine,
    Operation,
    Order,
    Shift,
    Shop,
    Started,
    Weights,
    Window,
    check_shop,
)

__all__ = ["COLUMNS", "MOST_BYTES", "check_zone", "read_orders", "read_shop", "stamp_of"]

MOST_BYTES: Final = 5_000_000
COLUMNS: Final = (
    "order", "operation", "machine", "duration_min", "after", "family", "due", "release", "weight",
    "may_pause", "name",
)  # fmt: skip
_NEEDED: Final = COLUMNS[:4]
_NONE: Final = "-"
_DAYS: Final = {"mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6, "sun": 7}
_FAR_US: Final = 1 << 53


class _Places:
    """Where things of a shop stand in what people wrote."""

    def __init__(self) -> None:
        self.lines = dict[str, int]()
        self.paths = dict[str, str]()

    def __call__(self, thing: str, column: str) -> str:
        parts = thing.split("/")
        while parts:  # the place of what holds it, where it has none of its own
            key = "/".join(parts)
            if key in self.lines:
                return f"line {self.lines[key]}, column '{_column(column)}'"
            if key in self.paths:
                return f"{self.paths[key]}.{column}"
            parts.pop()
        return f"{thing} ({column})"


def _column(name: str) -> str:
    return {"duration": "duration_min", "id": "order", "operations": "operation"}.get(name, name)


def read_shop(body: Mapping[str, Any], now: int) -> Shop:
    """Return the shop of a JSON body (as `docs/how-to/schedule.md` describes it), its orders from
    `orders_csv` where that is given; `now` (µs) is its start where it names none. Refused names
    what is wrong, and where."""
    places, zone = _Places(), str(body.get("zone") or "UTC")
    check_zone(zone)
    start = body.get("start")
    begin = now if start is None else stamp_of(start, zone, "start")
    text = body.get("orders_csv")
    orders = _orders(body, zone, places) if text is None else read_orders(text, zone, places)
    machines = tuple(_machines(body, zone, places))
    if not machines and text is not None:  # a list of orders alone: its machines are always open
        names = sorted({m for o in orders for one in o.operations for m in one.choices})
        machines = tuple(Machine(name) for name in names)
    shop = Shop(
        name=str(body.get("name") or ""), zone=zone, start=-(-begin // 1_000_000) * 1_000_000,
        machines=machines, orders=tuple(orders), setups=_setups(body, places),
        started=tuple(_started(body, zone, places)), weights=Weights(**(body.get("weights") or {})),
    )  # fmt: skip
    check_shop(shop, places)
    return shop


def check_zone(zone: str) -> None:
    """Raise Refused where there is no such time zone."""
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError) as error:
        raise Refused(f"'{zone}' is no time zone", code="shop.zone",
                      hint="Take a name such as Asia/Shanghai") from error  # fmt: skip


def stamp_of(value: int | str, zone: str, place: str) -> int:
    """Return µs UTC of what was written at a place."""
    try:
        at = value if isinstance(value, int) else _iso(value.strip(), zone)
    except (ValueError, OverflowError) as error:
        raise Refused(f"{place}: '{str(value)[:60]}' is no time", code="shop.time",
                      hint="Write it like 2026-11-30T08:00 or 2026-11-30T08:00+08:00"
                      ) from error  # fmt: skip
    if not 0 <= at <= _FAR_US:
        raise Refused(f"{place}: a time far from ours", code="shop.time",
                      hint="Times are µs since 1970")  # fmt: skip
    return at


def _iso(text: str, zone: str) -> int:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        at = at.replace(tzinfo=ZoneInfo(zone))
    return round(at.timestamp() * 1_000_000)


def _seconds(minutes: object, place: str) -> int:
    """Return whole seconds; at least one where there is any work at all."""
    try:
        value = float(str(minutes))
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or abs(value) > 1e9:
        raise Refused(f"{place}: '{str(minutes)[:60]}' is no duration", code="shop.duration",
                      hint="Give the minutes of work")  # fmt: skip
    return max(round(value * 60), 1) if value > 0 else math.floor(value * 60)


def _machines(body: Mapping[str, Any], zone: str, places: _Places) -> Iterator[Machine]:
    for number, one in enumerate(body.get("machines") or ()):
        path = f"machines[{number}]"
        places.paths.setdefault(f"machines/{one['id']}", path)
        yield Machine(
            id=one["id"], name=one.get("name") or "", family=one.get("family"),
            shifts=tuple(
                Shift(_days(s["days"], f"{path}.shifts[{k}].days"),
                      _time(s["begin"], f"{path}.shifts[{k}].begin"),
                      _time(s["end"], f"{path}.shifts[{k}].end") or 86_400)
                for k, s in enumerate(one.get("shifts") or ())
            ),
            closed=tuple(
                Window(stamp_of(w["start"], zone, f"{path}.closed[{k}].start"),
                       stamp_of(w["end"], zone, f"{path}.closed[{k}].end"), w.get("why") or "")
                for k, w in enumerate(one.get("closed") or ())
            ),
        )  # fmt: skip


def _days(text: str, place: str) -> tuple[int, ...]:
    """Return days of the week.

    >>> _days("mon-fri, sun", "")
    (1, 2, 3, 4, 5, 7)
    """
    found = set[int]()
    for part in text.lower().replace(" ", "").split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            raise Refused(f"{place}: '{text[:60]}' names no days", code="shop.shift",
                          hint="Write it like mon-fri or sat,sun")  # fmt: skip
        a, b = _DAYS[first], _DAYS[last or first]
        found |= set(range(a, b + 1)) if a <= b else {*range(a, 8), *range(1, b + 1)}
    return tuple(sorted(found))


def _time(text: str, place: str) -> int:
    """Return the second of the day; 24:00 is the last."""
    match = re.fullmatch(r"(\d{1,2}):(\d{2})(?::(\d{2}))?", text)
    hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (99, 0, 0)
    at = hours * 3600 + minutes * 60 + seconds
    if minutes > 59 or seconds > 59 or at > 86_400:
        raise Refused(f"{place}: '{text[:60]}' is no time of the day", code="shop.shift",
                      hint="Write it like 06:00 or 22:30")  # fmt: skip
    return at


def _orders(body: Mapping[str, Any], zone: str, places: _Places) -> list[Order]:
    found = []
    for number, one in enumerate(body.get("orders") or ()):
        path = f"orders[{number}]"
        places.paths.setdefault(f"orders/{one['id']}", path)
        due, release = (
            None if one.get(key) is None else stamp_of(one[key], zone, f"{path}.{key}")
            for key in ("due", "release")
        )
        found.append(
            Order(one["id"], tuple(_operations(one, path, places)), one.get("name") or "", release,
                  due, float(one.get("weight", 1.0)))
        )  # fmt: skip
    return found


def _operations(order: Mapping[str, Any], path: str, places: _Places) -> Iterator[Operation]:
    previous = tuple[str, ...]()
    for number, one in enumerate(order.get("operations") or ()):
        place = f"{path}.operations[{number}]"
        places.paths.setdefault(f"orders/{order['id']}/{one['id']}", place)
        after = one.get("after")
        yield Operation(
            id=one["id"], family=one.get("family") or "",
            choices={m: _seconds(t, f"{place}.minutes.{m}") for m, t in one["minutes"].items()},
            after=previous if after is None else tuple(dict.fromkeys(after)),
            may_pause=bool(one.get("may_pause", True)),
        )  # fmt: skip
        previous = (one["id"],)


def _setups(body: Mapping[str, Any], places: _Places) -> dict[str, dict[tuple[str, str], int]]:
    tables = dict[str, dict[tuple[str, str], int]]()
    for number, one in enumerate(body.get("setups") or ()):
        machine, path = one.get("machine") or ANY, f"setups[{number}]"
        places.paths.setdefault(f"setups/{machine}", path)
        key = (one.get("before") or ANY, one.get("after") or ANY)
        tables.setdefault(machine, {})[key] = _seconds(one["minutes"], f"{path}.minutes")
    return tables


def _started(body: Mapping[str, Any], zone: str, places: _Places) -> Iterator[Started]:
    for number, one in enumerate(body.get("started") or ()):
        path = f"started[{number}]"
        places.paths.setdefault(f"started/{one['order']}/{one['operation']}", path)
        begin = stamp_of(one["start"], zone, f"{path}.start") // 1_000_000 * 1_000_000
        end = None if one.get("end") is None else stamp_of(one["end"], zone, f"{path}.end")
        yield Started(one["order"], one["operation"], one["machine"], begin, end)


def read_orders(text: str, zone: str = "UTC", places: _Places | None = None) -> list[Order]:
    """Return the orders of a CSV text with the columns COLUMNS, of which the first four must be
    there, in any order; comma or semicolon between them."""
    places = _Places() if places is None else places
    if len(text.encode()) > MOST_BYTES:
        raise Refused("the table is too long", code="shop.size",
                      hint=f"At most {MOST_BYTES // 1_000_000} MB")  # fmt: skip
    orders = dict[str, Order]()
    for line, row in _rows(text):
        _take_row(orders, line, row, zone, places)
    return list(orders.values())


def _rows(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines:
        raise Refused("the table is empty", code="shop.empty", hint="Its first line names columns")
    mark = ";" if lines[0].count(";") > lines[0].count(",") else ","
    reader = csv.reader(lines, delimiter=mark, strict=True)
    try:
        names = [name.strip().lower() for name in next(reader)]
        for name in names:
            if name not in COLUMNS or names.count(name) > 1:
                raise Refused(f"line 1: '{name[:60]}' is no column, or stands twice",
                              code="shop.columns", hint=f"Columns: {', '.join(COLUMNS)}"
                              )  # fmt: skip
        for name in set(_NEEDED) - set(names):
            raise Refused(f"line 1: the column '{name}' is missing", code="shop.columns",
                          hint=f"Needed: {', '.join(_NEEDED)}")  # fmt: skip
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(names):
                raise Refused(f"line {reader.line_num}: {len(row)} cells under {len(names)} "
                              "columns", code="shop.columns",
                              hint="Put text with commas in quotes")  # fmt: skip
            yield reader.line_num, dict(zip(names, (cell.strip() for cell in row), strict=True))
    except csv.Error as error:
        raise Refused(f"line {reader.line_num}: {error}", code="shop.csv",
                      hint="Write it as comma separated values") from error  # fmt: skip


def _take_row(
    orders: dict[str, Order], line: int, row: Mapping[str, str], zone: str, places: _Places
) -> None:
    """Add what a line says: an order, an operation of it, or one more machine for that."""
    name, step, machine = row["order"], row["operation"], row["machine"]
    for column in _NEEDED:
        if not row[column]:
            raise Refused(f"line {line}, column '{column}': it is empty", code="shop.csv",
                          hint="Every line names an order, an operation, a machine and its "
                               "minutes")  # fmt: skip
    key = f"orders/{name}/{step}"
    places.lines[f"{key}/{machine}"] = line
    seconds = _seconds(row["duration_min"], f"line {line}, column 'duration_min'")
    order = orders.get(name)
    if order is None:
        places.lines[f"orders/{name}"] = line
        order = _new_order(row, line, zone)
    before = order.operations
    if before and before[-1].id == step:
        last = before[-1]
        if machine in last.choices:
            raise Refused(f"line {line}, column 'machine': '{machine}' is there twice for the "
                          f"operation '{step}'", code="shop.twice",
                          hint="Name every machine of an operation once")  # fmt: skip
        last = replace(last, choices={**last.choices, machine: seconds})
        orders[name] = replace(order, operations=(*before[:-1], last))
        return
    if any(one.id == step for one in before):
        raise Refused(f"line {line}, column 'operation': '{step}' of the order '{name}' is there "
                      "already", code="shop.twice",
                      hint="Lines of one operation stand together")  # fmt: skip
    places.lines[key] = line
    written = row.get("after", "")
    after = tuple(dict.fromkeys(re.split(r"[\s;|]+", written))) if written else None
    if after is None:
        after = (before[-1].id,) if before else ()
    made = Operation(step, {machine: seconds}, () if after == (_NONE,) else after,
                     row.get("family", ""), _yes(row.get("may_pause", ""), line))  # fmt: skip
    orders[name] = replace(order, operations=(*before, made))


def _new_order(row: Mapping[str, str], line: int, zone: str) -> Order:
    due, release = (
        stamp_of(row[key], zone, f"line {line}, column '{key}'") if row.get(key) else None
        for key in ("due", "release")
    )
    try:
        weight = float(row.get("weight") or 1)
    except ValueError as error:
        raise Refused(f"line {line}, column 'weight': '{row['weight'][:60]}' is no number",
                      code="shop.weight", hint="Leave it out for 1") from error  # fmt: skip
    return Order(row["order"], (), row.get("name", ""), release, due, weight)


def _yes(text: str, line: int) -> bool:
    words = {"": True, "yes": True, "true": True, "1": True, "no": False, "false": False,
             "0": False}  # fmt: skip
    if text.lower() not in words:
        raise Refused(f"line {line}, column 'may_pause': '{text[:60]}' is neither yes nor no",
                      code="shop.csv", hint="Write yes or no")  # fmt: skip
    return words[text.lower()]
