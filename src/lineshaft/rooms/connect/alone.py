"""Work in a task of its own, whose end is ours to decide.

A task group that fails while its owner waits for it leaves the owner marked as being cancelled
(Python before 3.12), and then every later time-out in that task ends as a cancellation. So groups
that may fail get an owner of their own, thrown away with them. And work that does not heed its
cancellation is left behind after a grace, instead of holding up its caller.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

__all__ = ["alone"]

T = TypeVar("T")


async def alone(work: Coroutine[Any, Any, T], grace_s: float = 1.0) -> T:
    """Return what the work returns or raise what it raises; cancelled, cancel it and wait for its
    end, at most `grace_s`. Of a group of exceptions the first is raised."""
    task = asyncio.create_task(work)
    task.add_done_callback(_look_at)
    try:
        await asyncio.wait([task])
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=grace_s)
    try:
        return task.result()
    except BaseExceptionGroup as group:
        raise _first(group) from None


def _look_at(task: asyncio.Task[Any]) -> None:
    """Take note of how it ended, so that what nobody waited for is not reported as forgotten."""
    if not task.cancelled():
        task.exception()


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
