"""While writers come and go, everybody who reads sees a prefix without a hole."""

import asyncio
import threading

import pytest

from lineshaft.rooms.history import tail
from tests.crash.numbers import ROWS
from tests.crash.site import Site


async def test_readers_always_see_a_prefix_without_a_hole(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "_PRUNE_S", 0.01)  # the moment in which a wrong cut would show
    over = threading.Event()
    seen: list[list[int]] = [[], []]
    wrong: list[str] = []

    def read(lengths: list[int]) -> None:
        while not over.is_set() and not wrong:
            numbers = site.read_numbers()
            if numbers != list(range(len(numbers))) or len(numbers) % ROWS:
                wrong.append(f"{len(numbers)} numbers up to {numbers[-1]}")
            lengths.append(len(numbers))

    site.writer(commit_s=0.05, commit_rows=200)
    await site.publish(1)
    await site.stored()
    threads = [threading.Thread(target=read, args=(lengths,)) for lengths in seen]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            async with site.publishing(0.003):
                await asyncio.sleep(0.8)
            heir = site.writer(commit_s=0.05, commit_rows=200)  # takes over from the one before
            await site.publish(1)
            await site.stored()
            assert heir.exit_code is None
    finally:
        over.set()
        for thread in threads:
            await asyncio.to_thread(thread.join)
    assert not wrong, wrong
    for lengths in seen:
        assert lengths == sorted(lengths)
        assert len(set(lengths)) > 3
    await site.check_reader()
