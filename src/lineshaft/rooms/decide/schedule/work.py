"""Hands for what must be quick and for what takes long: a warm worker, and a process a solve.

Rules: the worker compiles its kernels when it is warmed, so that an answer to a breakdown waits for
no compiler; a solve is a process of its own, ended with us or when it is told to; jobs are plain
functions of what they are given.
"""

import asyncio
import json
import multiprocessing
import os
import sys
from collections.abc import AsyncGenerator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from lineshaft.children import die_with_parent
from lineshaft.core.errors import Broken, Refused
from lineshaft.rooms.decide.schedule.kept import schedule_from, schedule_json, shop_json
from lineshaft.rooms.decide.schedule.model import Schedule, Shop

__all__ = ["Step", "Worker", "solve"]

_LONGEST_S: Final = 120.0
_COMPILED_S: Final = 900.0  # the first time, on a slow machine
_LINE: Final = 64 * 1024 * 1024
_NICE: Final = 10


@dataclass(frozen=True, slots=True)
class Step:
    """A better schedule `at` seconds after the search began; the last one is `done`, and `proved`
    where nothing can be better."""

    at: float
    schedule: Schedule
    steps: int
    done: bool
    proved: bool


class Worker:
    """One process that dispatches, repairs and checks; warmed before its first job."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._warmed: asyncio.Future[None] | None = None

    async def warm(self) -> None:
        """Start the process and compile its kernels; return once that is done."""
        if self._pool is None or self._warmed is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, initializer=die_with_parent)
            self._warmed = asyncio.ensure_future(self._call("warm", (), _COMPILED_S))
        await asyncio.shield(self._warmed)

    async def run(self, job: str, *arguments: Any) -> Any:
        """Return what the job of that name in `jobs` returns; raise what it raises, or Broken."""
        await self.warm()
        return await self._call(job, arguments, _LONGEST_S)

    async def _call(self, job: str, arguments: tuple[Any, ...], within_s: float) -> Any:
        loop, pool = asyncio.get_running_loop(), self._pool
        if pool is None:
            raise Broken("the scheduling process ended", code="schedule.worker",
                         hint="Ask again")  # fmt: skip
        try:
            async with asyncio.timeout(within_s):
                return await loop.run_in_executor(pool, _carry_out, job, arguments)
        except TimeoutError:
            self.close()
            raise Broken(f"the shop was not planned within {within_s:g} s", code="schedule.slow",
                         hint="Plan fewer orders at once") from None  # fmt: skip
        except BrokenProcessPool as error:
            self.close()
            raise Broken("the scheduling process ended", code="schedule.worker",
                         hint="Ask again; it may have run out of memory") from error  # fmt: skip

    def close(self) -> None:
        """End the process, whatever it does."""
        pool, self._pool, self._warmed = self._pool, None, None
        if pool is not None:
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)


def _carry_out(job: str, arguments: tuple[Any, ...]) -> Any:
    # Loaded here: only the worker needs the compiler.
    from lineshaft.rooms.decide.schedule import jobs

    return getattr(jobs, job)(*arguments)


def _calm() -> None:
    die_with_parent()
    os.nice(_NICE)


async def solve(
    shop: Shop, schedule: Schedule | None, seconds: float, seed: int = 1, *, partner: bool = True,
    calm: bool = True,
) -> AsyncGenerator[Step, None]:  # fmt: skip
    """Give every better schedule that is found within some seconds, begun at one (None: at what
    the rules make). `calm` lets everything else of the machine go first. Raises Refused where the
    shop cannot be planned, Broken where the process fails."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "lineshaft.rooms.decide.schedule.solving",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=_LINE,
        preexec_fn=_calm if calm else die_with_parent,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    asked = {
        "shop": shop_json(shop), "schedule": schedule and schedule_json(schedule),
        "seconds": seconds, "seed": seed, "partner": partner,
    }  # fmt: skip
    try:
        process.stdin.write(json.dumps(asked).encode() + b"\n")
        await process.stdin.drain()
        while line := await process.stdout.readline():
            yield _step(json.loads(line))
        if await process.wait():
            raise Broken("the solver's process failed", code="schedule.solver",
                         hint="See the log of the process web")  # fmt: skip
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _step(body: dict[str, Any]) -> Step:
    if error := body.get("error"):
        raise Refused(error["message"], hint=error["hint"], code=error["code"])
    return Step(body["at"], schedule_from(body["schedule"]), body["steps"], body["done"],
                body.get("proved", False))  # fmt: skip
