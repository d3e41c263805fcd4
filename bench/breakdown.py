"""`breakdown`: a machine fails at 25 % of a schedule for 10 % of its makespan; `--path` as jobshop.

`first_ms` is the worst time from the call to a checked schedule, over the process boundary, with
the worker warm as it is in a running platform. `vs_right_shift` is the worst end of the schedule
that holds after 10 s, in that of the old schedule shifted right, found in the same call: at most 1
by construction, so what counts is how far below. Each run takes another machine.
"""

import asyncio
import time
from pathlib import Path

from bench.figures import Figure, judge
from bench.ground import say
from bench.jobshop import read_instance, solved
from lineshaft.rooms.decide.schedule.engine.check import faults
from lineshaft.rooms.decide.schedule.engine.moments import at_moment, with_breakdown
from lineshaft.rooms.decide.schedule.model import Schedule, Shop, Window
from lineshaft.rooms.decide.schedule.work import Worker

__all__ = ["run"]

_INSTANCES = ("ft10", "ta41")
_FAILING = (3, 0, 7, 5, 1, 9)
_REPEATS = 20
_US = 1_000_000


def run(seconds: float, runs: int, path: str = "") -> list[Figure]:
    """Return `first_ms` and `vs_right_shift`."""
    return asyncio.run(_run(seconds, min(runs, len(_FAILING)), Path(path)))


async def _run(seconds: float, runs: int, path: Path) -> list[Figure]:
    worker, times, shares = Worker(), list[float](), list[float]()
    await worker.warm()
    for name in _INSTANCES:
        shop, _ = read_instance(path, name)
        before, _ = await solved(shop, None, seconds, 1)
        for failing in _FAILING[:runs]:
            took, share = await _fail(worker, shop, before, f"M{failing}", seconds)
            times.append(took)
            shares.append(share)
            say(f"{name} M{failing}: {took:.1f} ms, {share:.4f} of right shift")
    worker.close()
    return [
        judge("breakdown", "first_ms", [max(times)], "ms", 50, 20, lower=True,
              note=f"median {sorted(times)[len(times) // 2]:.1f}"),
        judge("breakdown", "vs_right_shift", [max(shares)], "", 1.0, 0.9999, lower=True,
              note=f"least {min(shares):.4f}"),
    ]  # fmt: skip


async def _fail(
    worker: Worker, shop: Shop, before: Schedule, machine: str, seconds: float
) -> tuple[float, float]:
    """Return the worst ms of the first answer, and the end after `seconds` in the shifted one's."""
    makespan = before.cost.makespan
    at = makespan // 4 * _US
    stands = at_moment(shop, before, at)
    window = Window(at, at + -(-makespan // 10) * _US, "breakdown")
    times = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        broken = with_breakdown(stands, machine, window)
        best, right = await worker.run("repair", broken, before)
        times.append((time.perf_counter() - began) * 1e3)
    last, _ = await solved(broken, best, seconds, 1)
    for schedule in (best, last):
        if found := faults(broken, schedule):
            raise SystemExit(f"bench: an impossible schedule: {found[0]}")
    ends = [at // _US + int(cost) for cost in (right, best.cost.total, last.cost.total)]
    say(f"right shift {ends[0]}, at once {ends[1]} ({best.method}), then {ends[2]}")
    return max(times), ends[2] / ends[0]
