"""Messages that nobody can read, and messages that are gone: told, and the stream goes on."""

import json
import random
from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from lineshaft.core.samples import SCHEMA
from tests.crash.numbers import ROWS, START, numbered
from tests.crash.site import STREAM, Site

_ARRIVAL = START + 10_000_000_000_000
_HEADERS = {"Ls-Origin": "fuzz", "Ls-Arrival": str(_ARRIVAL), "Ls-Count": "1", "Ls-T1": "1"}


def _stream(schema: pa.Schema, *batches: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        for batch in batches:
            stream.write_batch(batch)
    return sink.getvalue().to_pybytes()


def _batch(sid: list[int], ts: list[int], v: list[float], q: list[int]) -> pa.RecordBatch:
    texts = pa.nulls(len(sid), pa.utf8()).dictionary_encode()
    columns = [pa.array(sid, pa.int32()), pa.array(ts).view(pa.timestamp("us", tz="UTC")),
               pa.array(v, pa.float64()), texts, pa.array(q, pa.int32())]  # fmt: skip
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def _wrong_blocks() -> list[bytes]:
    one = _batch([1], [START], [1.0], [0])
    other = pa.record_batch({"sid": [1], "v": [2.0]})
    heavy = pa.DictionaryArray.from_arrays(pa.array([0] * 50_000, pa.int32()), ["x" * 1_000_000])
    columns = [pa.array([1] * 50_000, pa.int32()), pa.array(range(50_000)).view(SCHEMA[1].type),
               pa.nulls(50_000, pa.float64()), heavy,
               pa.array([0] * 50_000, pa.int32())]  # fmt: skip
    return [
        b"", b"\x00" * 64, b"ARROW1", _stream(other.schema, other), _stream(SCHEMA),
        _stream(SCHEMA, one, one), _stream(SCHEMA, one.slice(0, 0)),
        _stream(SCHEMA, _batch([2, 1], [START, START], [1.0, 1.0], [0, 0])),
        _stream(SCHEMA, _batch([1, 1], [START, START], [1.0, 1.0], [0, 0])),
        _stream(SCHEMA, _batch([1, 1], [START + 1, START], [1.0, 1.0], [0, 0])),
        _stream(SCHEMA, _batch([1], [START], [np.nan], [0])),
        _stream(SCHEMA, _batch([1], [START], [np.inf], [0])),
        _stream(SCHEMA, _batch([0], [START], [1.0], [0])),
        _stream(SCHEMA, _batch([1], [-1], [1.0], [0])),
        _stream(SCHEMA, _batch([1], [_ARRIVAL + 61_000_000], [1.0], [0])),
        _stream(SCHEMA, _batch([1], [START], [1.0], [-1])),
        _stream(SCHEMA, _batch([1], [START], [1.0], [5000])),
        _stream(SCHEMA, pa.RecordBatch.from_arrays(columns, schema=SCHEMA)),
    ]  # fmt: skip


def _wrong_headers() -> list[dict[str, str]]:
    return [{}, {"Ls-Origin": "a"}, {"Ls-Arrival": "1"}, {"Ls-Origin": "a", "Ls-Arrival": "x"},
            {"Ls-Origin": "a", "Ls-Arrival": "-5"},
            {"Ls-Origin": "a", "Ls-Arrival": "9" * 5000}]  # fmt: skip


def _mangled(dice: random.Random) -> bytes:
    """Return a block with some bytes changed, cut out, put in or cut off; or any bytes."""
    body = bytearray(numbered(dice.randrange(1000)).encode())
    for _ in range(dice.randrange(1, 5)):
        at = dice.randrange(max(1, len(body)))
        match dice.randrange(5):
            case 0:
                body[at : at + 1] = dice.randbytes(1)
            case 1:
                body[at : at + 8] = dice.choice([b"\xff" * 8, b"\x00" * 8, b"\x7f" * 8])
            case 2:
                del body[at:]
            case 3:
                body[at:at] = dice.randbytes(dice.randrange(1, 16))
            case _:
                return dice.randbytes(dice.randrange(200))
    return bytes(body)


async def _store(site: Site, body: bytes, headers: Mapping[str, str], name: str) -> None:
    subject = "ls.t.data.fuzz"
    await site.bus._store(subject, body, {**headers, "Nats-Msg-Id": name})


async def test_what_nobody_can_read_is_put_aside_and_told_once(site: Site) -> None:
    bodies = _wrong_blocks()
    for number, body in enumerate(bodies):
        await _store(site, body, _HEADERS, f"wrong{number}")
        await site.publish(1)
    good = _stream(SCHEMA, _batch([1], [START], [1.0], [0]))
    for number, headers in enumerate(_wrong_headers()):
        await _store(site, good, headers, f"header{number}")
    bad = len(bodies) + len(_wrong_headers())
    async with site.writing(margin_gb=1):
        await site.stored()
    site.check_files()
    await site.check_reader()
    facts = await site.facts("history.quarantined")
    assert len(facts) == bad
    assert len({fact.body["message"] for fact in facts}) == bad
    assert all(fact.body["reason"] for fact in facts)
    aside = await site.bus.streams.state("QUARANTINE_t")
    assert aside.last == bad
    for number, body in enumerate(bodies):
        message = await site.bus.streams.message("QUARANTINE_t", number + 1)
        assert message is not None and message.data == body
        assert message.headers["Ls-Origin"] == "fuzz"


async def test_mangled_blocks_never_stop_the_stream(site: Site) -> None:
    dice = random.Random(4)
    for number in range(200):
        await _store(site, _mangled(dice), _HEADERS, f"m{number}")
        if number % 10 == 0:
            await site.publish(1)
    async with site.writing(margin_gb=1, commit_rows=1000):
        await site.stored()
    # A mangled block may still be a block; what was put aside and what was kept add up.
    aside = (await site.bus.streams.state("QUARANTINE_t")).last
    assert aside >= 100
    assert len(await site.facts("history.quarantined")) == aside
    assert site.row().rows == sum(entry.rows for entry in site.catalogue.files()[1])
    assert set(range(site.published * ROWS)) <= set(site.file_numbers())
    assert len(site.read_numbers()) >= site.published * ROWS


async def test_a_writer_that_comes_back_tells_nothing_twice(site: Site) -> None:
    await site.publish(2)
    await _store(site, b"nothing", _HEADERS, "bad")
    await site.publish(4)
    await site.bus.streams._call(f"STREAM.MSG.DELETE.{STREAM}", {"seq": 5})
    for _ in range(2):  # it dies before its commit, with both things told
        writer = site.writer(step="written", at=1, margin_gb=1)
        await writer.ended()
    async with site.writing(margin_gb=1):
        await site.stored()
    assert len(await site.facts("history.quarantined")) == 1
    assert len(await site.facts("history.lost")) == 1
    assert (await site.bus.streams.state("QUARANTINE_t")).last == 1


async def test_a_message_gone_from_the_middle_is_told_by_its_number(site: Site) -> None:
    await site.publish(12)
    for seq in (4, 7, 8, 9, 12):
        await site.bus.streams._call(f"STREAM.MSG.DELETE.{STREAM}", {"seq": seq})
    await site.publish(3)
    async with site.writing(margin_gb=1):
        await site.stored()
    lost = [(f.body["from"], f.body["to"]) for f in await site.facts("history.lost")]
    assert sorted(lost) == [(4, 4), (7, 9), (12, 12)]
    expected = [n for block in range(15) if block + 1 not in (4, 7, 8, 9, 12)
                for n in range(block * ROWS, (block + 1) * ROWS)]  # fmt: skip
    assert site.file_numbers() == expected
    assert site.read_numbers() == expected


async def test_messages_purged_before_they_were_kept_are_told(site: Site) -> None:
    await site.publish(10)
    await site.bus.streams.purge(STREAM, before=7)
    async with site.writing(margin_gb=1):
        await site.stored()
        await site.publish(5)
        await site.stored()
        site.tail.ready.clear()
    # A stream that was never read begins where it begins: nothing of it was promised.
    assert await site.facts("history.lost") == []
    await site.publish(5)
    await site.bus.streams.purge(STREAM, before=19)
    async with site.writing(margin_gb=1):
        await site.stored()
    lost = [(f.body["from"], f.body["to"]) for f in await site.facts("history.lost")]
    assert lost == [(16, 18)]


async def test_poisoned_facts_do_not_stop_their_keeper(site: Site) -> None:
    good = {"kind": "link.gap", "at": 1, "subject": "a", "cause": None,
            "body": {"from": 1, "to": 2, "cause": "cut"}}  # fmt: skip
    poison: list[bytes] = [
        b"", b"{}", b"[]", b"\xff", b"null", b'"text"', b"[" * 100_000,
        b'{"kind":"x.y","at":1e999,"subject":"a","body":{},"cause":null}',
        json.dumps({**good, "at": 1 << 80}).encode(),
        json.dumps({**good, "body": {"from": 1, "to": 1 << 80}}).encode(),
        json.dumps({**good, "body": {"from": -(1 << 80), "to": 1}}).encode(),
        json.dumps({**good, "subject": "\ud800"}).encode(),
        json.dumps({**good, "kind": "\udfff"}).encode(),
        json.dumps({**good, "kind": "x" * 500}).encode(),
        json.dumps({**good, "body": [1]}).encode(),
        b"x" * 300_000,
    ]  # fmt: skip
    for number, body in enumerate(poison):
        await site.bus._store("ls.t.fact.x", body, {"Nats-Msg-Id": f"poison{number}"})
    for number in range(3):
        content = {**good, "at": number}
        await site.bus._store("ls.t.fact.x", json.dumps(content).encode(), {})
    assert [fact.at for fact in await site.facts("link.gap")] == [0, 1, 2]
