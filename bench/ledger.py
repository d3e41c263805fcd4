"""`ledger`: how fast Facts are entered, and how fast one is proven in a ledger of a million.

Entered is from a Fact's bytes as the stream hands them out to the database on disk, in transactions
of 1,000, each with its signed checkpoint. Proven is one Fact with its path and its key's, read from
the database and checked; exported is a bundle of 100 Facts. The bars are our own.
"""

import random
import time
from collections.abc import Iterator
from pathlib import Path

from bench.figures import Figure, judge
from bench.ground import check_disk, clean_folder, fsync_limit, say
from lineshaft.bus import Message
from lineshaft.core.facts import Fact
from lineshaft.ledger.bundle import bundle_of_facts
from lineshaft.ledger.check import check_ledger
from lineshaft.ledger.entries import Entry, entry_of, made_of
from lineshaft.ledger.keys import LogKey, key_entry
from lineshaft.ledger.log import Ledger
from lineshaft.ledger.merkle import leaf_hash, root_of_inclusion
from lineshaft.ledger.store import LedgerStore, Point
from lineshaft.ledger.verify import verify
from lineshaft.records import open_records
from lineshaft.records.migrate import migrate

__all__ = ["run"]

_FACTS = 1_000_000
_BATCH = 1_000
_PROOFS = 400
_BYTES = 500  # of an entry with all that lies above and beside it, about
_STREAM = "FACT_bench"


def run(seconds: float, runs: int) -> list[Figure]:
    """Fill one ledger of a million and prove in it; `runs` rounds of proofs."""
    check_disk(3)
    with clean_folder() as folder:
        file = folder / "records.sqlite"
        migrate(file)
        limit = _BATCH * fsync_limit(folder, _BATCH * _BYTES)
        rates = list(_fill(file, runs))
        say(f"{_FACTS:,} Facts entered, {file.stat().st_size / _FACTS:,.0f} B each")
        engine = open_records(file)
        ledger, dice = Ledger(engine), random.Random(1)
        proofs = [_proofs(ledger, dice) for _ in range(runs)]
        bundles = [_bundle(ledger, dice) for _ in range(runs)]
        began = time.perf_counter()
        found = check_ledger(engine)
        checked = found.seen / (time.perf_counter() - began)
        engine.dispose()
    return [
        judge("ledger", "entered_per_s", rates, "1/s", 2_000, 10_000, limits=[limit],
              note="own bar"),
        judge("ledger", "proof_p50_ms", [one[0] for one in proofs], "ms", 20, 5, lower=True,
              note="own bar"),
        judge("ledger", "proof_p99_ms", [one[1] for one in proofs], "ms", 100, 20, lower=True,
              note="own bar"),
        judge("ledger", "bundle_100_ms", bundles, "ms", 1_000, 200, lower=True, note="own bar"),
        judge("ledger", "checked_per_s", [checked], "1/s", 20_000, 100_000, note="own bar"),
    ]  # fmt: skip


def _fact(number: int) -> Fact:
    return Fact("command.done", 1_700_000_000_000_000 + number, f"loop/{number % 7}",
                {"command": f"{number:024x}", "value": number / 3})  # fmt: skip


def _fill(file: Path, runs: int) -> Iterator[float]:
    """Enter a million Facts; hand out the Facts a second of each of `runs` parts."""
    engine = open_records(file)
    store, key = LedgerStore(engine, _STREAM), LogKey.first("bench")
    store.begin(key.origin, str(key.public), made_of(key_entry(key, 1, None)))
    state = store.take_lease("bench")

    def sign(size: int, root: bytes) -> tuple[int, str]:
        return size, key.note(size, root, size)

    part = _FACTS // runs // _BATCH * _BATCH
    for first in range(0, part * runs, part):
        spent = 0.0
        for start in range(first, first + part, _BATCH):
            raw = [Message(n, 0, "", {}, _fact(n).to_json()) for n in range(start, start + _BATCH)]
            began = time.perf_counter()
            made: list[Entry] = [entry_of(one, _STREAM, 0) for one in raw]
            point = Point("bench", 0, start + _BATCH, "")
            state = store.append(state, made, point, sign)
            spent += time.perf_counter() - began
        yield part / spent
    engine.dispose()


def _proofs(ledger: Ledger, dice: random.Random) -> tuple[float, float]:
    """Return the median and the 99th percentile of proving one Fact, in ms."""
    took = []
    for _ in range(_PROOFS):
        name = _fact(dice.randrange(_FACTS // 2)).id
        began = time.perf_counter()
        signed, (found,) = ledger.prove([name])
        root = root_of_inclusion(found.number, signed.note.size, leaf_hash(found.data), found.proof)
        took.append((time.perf_counter() - began) * 1e3)
        assert root == signed.note.root
    took.sort()
    return took[len(took) // 2], took[int(len(took) * 0.99)]


def _bundle(ledger: Ledger, dice: random.Random) -> float:
    """Return how long it takes to make and to check a bundle of 100 Facts, in ms."""
    names = [_fact(dice.randrange(_FACTS // 2)).id for _ in range(100)]
    began = time.perf_counter()
    verify(bundle_of_facts(ledger, names))
    return (time.perf_counter() - began) * 1e3
