"""An import killed at any moment goes on and puts every row on the bus exactly once.

The stream forgets message ids after a tenth of a second here, so it is not the bus that recognises
what is sent again.
"""

import asyncio
import multiprocessing
import random
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from lineshaft.bus import Message
from lineshaft.bus.client import decode_block
from lineshaft.records import metadata, open_records
from lineshaft.rooms.history.import_store import ImportStore
from tests.history.import_child import imports_of, run
from tests.support.nats import NatsServer

KILLS, ROWS = 8, 40_000
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.history.import_child"])


async def until(holds: Any, within_s: float = 60) -> Any:
    end = time.monotonic() + within_s
    while not (found := await asyncio.to_thread(holds)):
        assert time.monotonic() < end, "it did not come true in time"
        await asyncio.sleep(0.005)
    return found


def table() -> pa.Table:
    stamps = 1_700_000_000_000_000 + np.arange(ROWS) * 1000
    v = np.random.default_rng(3).normal(size=(3, ROWS)).round(6)
    names = ["a", "b", "c"]
    return pa.table({"time": pa.array(stamps).view(pa.timestamp("us", tz="UTC"))}
                    | {name: v[i] for i, name in enumerate(names)})  # fmt: skip


async def body(content: bytes) -> AsyncIterator[bytes]:
    yield content


@pytest.mark.parametrize("form", ["csv", "parquet"])
async def test_every_row_once_whenever_it_is_killed(tmp_path: Path, form: str) -> None:
    made, sink = table(), pa.BufferOutputStream()
    if form == "csv":
        pa_csv.write_csv(made, sink)
    else:
        pq.write_table(made, sink, row_group_size=9_999)
    store = ImportStore(open_records(tmp_path / "records.sqlite"))
    metadata.create_all(store._engine)
    dice = random.Random(form)
    with NatsServer(tmp_path, max_gb=5) as nats:
        async with nats.bus() as bus:
            await bus.streams._call("STREAM.CREATE.DATA_t", {
                "name": "DATA_t", "subjects": ["ls.t.data.>"], "storage": "file",
                "duplicate_window": 100_000_000, "allow_direct": True,
            })  # fmt: skip
            await bus.ensure_streams(1_000_000_000)
            imports = imports_of(tmp_path, bus)
            (tmp_path / "imports").mkdir()
            shown = await imports.receive(f"x.{form}", body(sink.getvalue().to_pybytes()))
            number, stops = shown["id"], sorted(dice.sample(range(ROWS * 9 // 10), KILLS))
            child = _FORKS.Process(target=run, args=(str(tmp_path),), daemon=True)
            child.start()
            await until(lambda: store.get(number).state == "waiting")
            await imports.start(number, skip_problems=False)
            for rows in stops:
                await until(lambda r=rows: store.get(number).rows >= r)
                await asyncio.sleep(dice.random() * 0.03)
                child.kill()
                await asyncio.to_thread(child.join)
                await asyncio.sleep(0.15)  # the stream has forgotten all ids
                child = _FORKS.Process(target=run, args=(str(tmp_path),), daemon=True)
                child.start()
            done = await until(lambda: (r := store.get(number)).state == "done" and r)
            child.kill()
            await asyncio.to_thread(child.join)
            last = (await bus.streams.state("DATA_t")).last
            parts = [await bus.streams.message("DATA_t", seq) for seq in range(1, last + 1)]
    blocks = [decode_block(m.data, m.headers) for m in parts if isinstance(m, Message)]
    sid = np.concatenate([block.sid for block in blocks])
    ts = np.concatenate([block.ts for block in blocks])
    v = np.concatenate([block.batch.column(2).to_numpy() for block in blocks])
    assert done.samples == len(ts) == 3 * ROWS and done.rows == ROWS
    order = np.lexsort((ts, sid))
    wanted = made["time"].cast(pa.int64()).to_numpy()
    for i, name in enumerate(["a", "b", "c"]):
        mine = order[i * ROWS : (i + 1) * ROWS]
        assert len(set(sid[mine].tolist())) == 1
        assert (ts[mine] == wanted).all() and (v[mine] == made[name].to_numpy()).all()


async def test_a_full_bus_is_waited_for_and_told(tmp_path: Path) -> None:
    sink = pa.BufferOutputStream()
    pa_csv.write_csv(table(), sink)
    store = ImportStore(open_records(tmp_path / "records.sqlite"))
    metadata.create_all(store._engine)
    with NatsServer(tmp_path, max_gb=5) as nats:
        async with nats.bus() as bus:
            await bus.ensure_streams(2_000_000)
            imports = imports_of(tmp_path, bus)
            shown = await imports.receive("x.csv", body(sink.getvalue().to_pybytes()))
            working = asyncio.ensure_future(imports.run())
            number = shown["id"]
            await until(lambda: store.get(number).state == "waiting")
            await imports.start(number, skip_problems=False)
            await until(lambda: "bus is full" in store.get(number).note)
            assert store.get(number).state == "running"
            await imports.pause(number)
            last = (await bus.streams.state("DATA_t")).last
            await bus.streams.purge("DATA_t", before=last + 1)
            await imports.resume(number)

            async def room() -> None:
                while True:
                    last = (await bus.streams.state("DATA_t")).last
                    await bus.streams.purge("DATA_t", before=last + 1)
                    await asyncio.sleep(0.05)

            making_room = asyncio.ensure_future(room())
            done = await until(lambda: (r := store.get(number)).state == "done" and r)
            making_room.cancel()
            working.cancel()
            await asyncio.gather(making_room, working, return_exceptions=True)
    assert (done.samples, done.rows, done.note) == (3 * ROWS, ROWS, "")
