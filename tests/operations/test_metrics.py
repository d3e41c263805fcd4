"""What Prometheus reads is in form, and true."""

import asyncio
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from lineshaft.web.metrics import Requests
from lineshaft.web.system import Overview
from tests.backup.conftest import counting
from tests.end_to_end.platform import until
from tests.web.conftest import House, made


def _scrape(house: House) -> dict[tuple[str, str], float]:
    answer = house.ask("GET", "metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text) for sample in family.samples
    }  # fmt: skip


async def test_the_metrics_tell_of_all_processes(house: House) -> None:
    sid = house.register(made("metered"))[0]
    before = await asyncio.to_thread(_scrape, house)
    async with counting(house, sid) as counter:
        await counter.put(20)
    await house.stored()
    for _ in range(3):
        await asyncio.to_thread(house.get, "last", sid=str(sid))
    after = await asyncio.to_thread(_scrape, house)
    name = "lineshaft_samples_total"
    assert after[name, ""] - before[name, ""] == 1000
    assert after["lineshaft_stored_samples_total", ""] >= 1000
    assert after["lineshaft_commits_total", ""] > before["lineshaft_commits_total", ""]
    assert after["lineshaft_files", ""] >= 1
    assert after["lineshaft_stream_bytes", ""] > before["lineshaft_stream_bytes", ""]
    assert {p for n, p in after if n == "lineshaft_process_up"} >= {"bus", "history", "web"}
    assert after["lineshaft_process_restarts_total", "bus"] == 0
    asked = ("lineshaft_requests_total", "last,2xx")
    assert after[asked] - before.get(asked, 0) == 3
    counted = ("lineshaft_request_seconds_count", "last")
    assert after[counted] - before.get(counted, 0) == 3
    assert after["lineshaft_request_seconds_bucket", "last,+Inf"] == after[counted]
    until("the memory is measured", lambda: _scrape(house)["lineshaft_process_memory_bytes", "web"]
          > 10e6)  # fmt: skip


def test_a_scrape_needs_the_right_to_read(house: House) -> None:
    import httpx

    assert httpx.get(f"{house.url}/api/v1/metrics").status_code == 401


def test_buckets_hold_what_is_at_most_their_bound() -> None:
    requests = Requests()
    for seconds in (0.001, 0.0011, 4.0, 99.0):
        requests.add("x", 200, seconds)
    requests.add("x", 404, 0.2)
    held = requests.seconds["x"]
    assert (held[0], held[1], held[-2]) == (1, 1, 1)
    assert sum(held[:-1]) == 5
    assert requests.ended == {("x", "2xx"): 4, ("x", "4xx"): 1}


def test_the_disk_is_forecast_from_rate_and_size_of_a_sample() -> None:
    class _Tail:
        stored_rows = 1_000_000

    overview = Overview(None, _Tail(), Path(), None, demo=False)  # type: ignore[arg-type]
    overview._used = 5_000_000
    assert overview._forecast(10**12) is None  # nothing is known yet
    overview._growth.append((0.0, 0))
    overview._growth.append((30.0, 300_000))
    assert overview._forecast(10**12) is None  # too short to tell
    overview._growth.append((100.0, 1_000_000))
    assert overview._forecast(10**12) == round(10**12 / (10_000 * 5) / 86_400, 1)
    overview._growth.clear()
    overview._growth.extend([(0.0, 7), (100.0, 7)])
    assert overview._forecast(10**12) is None  # nothing grows
    _Tail.stored_rows = 0
    assert overview._forecast(10**12) is None
