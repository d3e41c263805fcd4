"""The writer is away for a quarter of an hour: then it catches up, exactly."""

import asyncio

import duckdb
import numpy as np
import pytest

from lineshaft.core.samples import SampleBlock
from tests.crash.site import STREAM, Site

_SIGNALS = 10_000
_START = 1_700_000_000_000_000
_SECOND = 1_000_000
_AT_ONCE = 10


def _second(number: int, signals: int) -> SampleBlock:
    """Return one sample of each signal; its value says signal and second."""
    sid = np.arange(1, signals + 1)
    stamp = np.full(signals, _START + number * _SECOND)
    return SampleBlock.from_columns(
        sid, stamp, sid + number * 1e6, np.zeros(signals, np.int32),
        origin="outage", arrival=_START + number * _SECOND,
    )  # fmt: skip


async def _check(site: Site, seconds: int, signals: int) -> None:
    files = str(site.folder / "history" / "*" / "*.parquet")
    query = ("SELECT count(*), count(DISTINCT (sid, ts)), sum(v::HUGEINT), min(ts), max(ts) "
             "FROM read_parquet($files)")  # fmt: skip
    found = duckdb.connect().execute(query, {"files": files}).fetchone()
    assert found is not None
    rows = seconds * signals
    total = seconds * signals * (signals + 1) // 2 + signals * 10**6 * seconds * (seconds - 1) // 2
    assert found[:3] == (rows, rows, total)
    assert site.row().rows == rows
    some = [1, signals // 2, signals]
    read = site.reader.raw(some, 0, 1 << 62)
    assert read.sid.tolist() == sorted(some * seconds)
    assert (read.v == read.sid + (read.ts - _START) // _SECOND * 1e6).all()


async def _outage(site: Site, seconds: int, signals: int) -> None:
    writer = site.writer(commit_rows=4_000_000, margin_gb=1)
    await site.bus.publish(_second(0, signals))
    await site.stored()
    writer.kill()
    for first in range(1, seconds, _AT_ONCE):
        some = range(first, min(first + _AT_ONCE, seconds))
        await asyncio.gather(*(site.bus.publish(_second(n, signals)) for n in some))
    site.writer(commit_rows=4_000_000, commit_s=2, margin_gb=1)
    await site.stored(within_s=120)
    await _check(site, seconds, signals)
    assert (await site.bus.streams.state(STREAM)).last == seconds


async def test_a_quarter_of_an_hour_of_the_demo_plant(site: Site) -> None:
    await _outage(site, 900, 70)


@pytest.mark.long
async def test_a_million_samples(site: Site) -> None:
    await _outage(site, 100, _SIGNALS)


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_six_million_samples(site: Site) -> None:
    await _outage(site, 600, _SIGNALS)
