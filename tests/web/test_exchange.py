"""Imports and exports through the doors of a real platform."""

import asyncio
import csv
import io
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lineshaft.clock import now_us
from lineshaft.core.signals import Kind
from tests.end_to_end.platform import until
from tests.web.conftest import Feed, House, made

DAY = 86_400_000_000
START = 19_700 * DAY


def send(house: House, name: str, content: bytes) -> httpx.Response:
    """Upload a file as it is."""
    return httpx.post(f"{house.url}/api/v1/imports", params={"name": name}, content=content,
                      headers={"Authorization": f"Bearer {house.key}"}, timeout=60)  # fmt: skip


def checked(
    house: House, name: str, content: bytes, change: Callable[[Any], Any] | None = None
) -> dict[str, Any]:
    """Upload and return the import once its check, by the guessed form or a changed one, is over."""
    answer = send(house, name, content)
    assert answer.status_code == 200, answer.text
    found = settled(house, answer.json()["id"], "checking")
    if change is not None:
        house.post(f"imports/{found['id']}/check", {"form": change(found["form"])})
        found = settled(house, found["id"], "checking")
    return found


def settled(house: House, number: int, *passing: str) -> dict[str, Any]:
    """Return the import once it is in none of the passing states."""
    found: dict[str, Any] = until(
        f"import {number} leaves {passing}",
        lambda: (got := house.get(f"imports/{number}"))["state"] not in passing and got,
    )
    return found


def started(house: House, number: int, **body: Any) -> dict[str, Any]:
    house.post(f"imports/{number}/start", body)
    return settled(house, number, "running")


def rows(house: House, path: str) -> list[tuple[int, Any, Any, int]]:
    """Return (ts, v, s, q) of a signal as the platform has it now."""
    (signal,) = house.get("signals", prefix=path)["signals"]
    raw = house.get("raw", sid=signal["sid"], **{"from": 0, "to": 1 << 60})
    return list(zip(raw["ts"], raw["v"], raw["s"], raw["q"], strict=True))


async def test_a_wide_csv_is_shown_before_it_is_stored(house: House) -> None:
    text = "time,Temp [Cel],Count\n2024-01-01T00:00:00Z,1.5,1\n2024-01-01T00:00:01Z,,x\n"
    found = checked(house, "boiler.csv", text.encode())
    assert found["state"] == "waiting", found
    assert found["rows_total"] == 2 and found["problems"] == 1
    assert found["summary"]["told"] == [
        {"line": 3, "text": "the cell for lineshaft/demo/imports/files/boiler/count is no number"}
    ]
    assert found["summary"]["first"] == 1_704_067_200_000_000
    assert house.get("signals", prefix="lineshaft/demo/imports/files/boiler")["signals"] == []
    refused = house.ask("POST", f"imports/{found['id']}/start", {})
    assert refused.status_code == 409 and refused.json()["code"] == "import.problems"
    done = started(house, found["id"], skip_problems=True)
    assert done["state"] == "done" and done["samples"] == 2, done
    until("the door has it", lambda: rows(house, "lineshaft/demo/imports/files/boiler/temp"))
    assert rows(house, "lineshaft/demo/imports/files/boiler/temp") == [
        (1_704_067_200_000_000, 1.5, None, 0)
    ]
    kinds = [fact["kind"] for fact in house.get("facts", subject=f"import-{done['id']}")["facts"]]
    assert sorted(kinds) == ["import.finished", "import.started"]
