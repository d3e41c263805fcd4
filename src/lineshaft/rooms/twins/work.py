"""What takes long is done in a process of its own: fits, learning, futures.

Rules: a job is a plain function of what it is given, so that it gives the same anywhere; one worker
is kept warm, with its kernels loaded, and ends when nobody asked for a while, for it takes 200 MB;
a job that overruns its time ends with its process, and the next one starts a new one.
"""

import asyncio
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final

from lineshaft.children import die_with_parent
from lineshaft.core.errors import Broken

__all__ = ["LONGEST_S", "Worker"]

LONGEST_S: Final = 120.0
_IDLE_S: Final = 120.0


class Worker:
    """One process that carries out jobs, started with the first."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None
        self._turn = asyncio.Lock()
        self._ending: asyncio.TimerHandle | None = None

    async def run(self, job: str, *arguments: Any, within_s: float = LONGEST_S) -> Any:
        """Return what the job of that name in `jobs` returns; raise what it raises, or Broken
        where it took too long."""
        async with self._turn:
            if self._ending is not None:
                self._ending.cancel()
            if self._pool is None:
                context = multiprocessing.get_context("spawn")
                self._pool = ProcessPoolExecutor(1, context, initializer=die_with_parent)
            loop = asyncio.get_running_loop()
            try:
                async with asyncio.timeout(within_s):
                    return await loop.run_in_executor(self._pool, _carry_out, job, arguments)
            except TimeoutError:
                self.close()
                raise _too_slow(within_s) from None
            except BrokenProcessPool as error:
                self.close()
                raise Broken(
                    "the worker process ended",
                    hint="Ask for less; it may have run out of memory",
                    code="twin.worker",
                ) from error
            finally:
                self._ending = loop.call_later(_IDLE_S, self.close)

    def close(self) -> None:
        """End the process, whatever it does."""
        pool, self._pool = self._pool, None
        if pool is not None:
            for process in list((pool._processes or {}).values()):
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)


def _carry_out(job: str, arguments: tuple[Any, ...]) -> Any:
    # Loaded here: only the worker needs the compiler.
    from lineshaft.rooms.twins import drafting, jobs

    return getattr(drafting if job in drafting.__all__ else jobs, job)(*arguments)


def _too_slow(within_s: float) -> Broken:
    return Broken(f"this was not done within {within_s:g} s", code="twin.slow",
                  hint="Ask for less: a shorter period, fewer futures")  # fmt: skip
