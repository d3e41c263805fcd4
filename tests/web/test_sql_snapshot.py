"""`samples` over any files and tail equals the table that brute force makes of the same rows."""

from dataclasses import astuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.core.errors import Broken, Refused
from lineshaft.rooms.history.engine.commit import Part
from lineshaft.rooms.history.engine.rows import STORED, Rows
from lineshaft.rooms.history.files import FileStore
from lineshaft.rooms.history.reader import Cut
from lineshaft.web import sql_child
from lineshaft.web.sql import Snapshots
from lineshaft.web.sql_signals import SIGNALS
from lineshaft.web.sql_views import DAY_US, SnapshotFile

FIRST_DAY = 20_000
Row = tuple[int, int, int]  # sid, ts, seq


def _bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def stored(rows: list[Row]) -> Rows:
    """Return rows sorted as files are; the value is made of the number, to be told apart."""
    sid, ts, seq = (np.array(column, np.int64) for column in zip(*sorted(rows), strict=True))
    return Rows(sid.astype(np.int32), ts, seq * 0.5, np.zeros(len(sid), np.int32), seq)


def ask(
    files: list[SnapshotFile], tail: list[Row], query: str, seconds: float = 20.0
) -> list[dict[str, Any]]:
    """Carry out a query on these files and this tail, in this process."""
    days = {ts // DAY_US for _, ts, _ in tail}
    extents = []
    for day in days:
        own = [row for row in tail if row[1] // DAY_US == day]
        extents.append(SnapshotFile(
            "", day, min(r[0] for r in own), max(r[0] for r in own), min(r[1] for r in own),
            max(r[1] for r in own), False,
        ))  # fmt: skip
    signals = pa.table({"sid": pa.array(range(1, 10), pa.int32()),
                        "path": [f"p/{sid}" for sid in range(1, 10)]})  # fmt: skip
    # fmt: off
    tables = {"signals": _bytes(signals),
              "own.tail": _bytes(stored(tail).table() if tail else STORED.empty_table())}
    # fmt: on
    request = {
        "query": query,
        "files": [astuple(file) for file in files],
        "tail": [astuple(one) for one in extents],
        "seconds": seconds,
        "rows": 10_000,
        "bytes": 1 << 26,
        "format": "json",
        "as_of": 0,
        "tables": {name: len(content) for name, content in tables.items()},
    }  # fmt: skip
    _, content = sql_child.answer(request, b"".join(tables.values()))
    found: list[dict[str, Any]] = orjson.loads(content)["rows"]
    return found


def write(folder: Path, rows: list[Row], number: int, is_disjoint: bool) -> list[SnapshotFile]:
    """Write rows as files of a day each."""
    made = []
    for day in sorted({ts // DAY_US for _, ts, _ in rows}):
        own = stored([row for row in rows if row[1] // DAY_US == day])
        path = folder / f"{number}-{day}.parquet"
        pq.write_table(own.table(), path)
        made.append(SnapshotFile(str(path), day, int(own.sid.min()), int(own.sid.max()),
                                 int(own.ts.min()), int(own.ts.max()), is_disjoint))  # fmt: skip
    return made


STAMPS = st.integers(0, 40).map(lambda at: (FIRST_DAY * DAY_US) + at * (DAY_US // 8))
ROWS = st.lists(st.tuples(st.integers(1, 3), STAMPS), min_size=1, max_size=30)


@settings(max_examples=40)
@given(commits=st.lists(ROWS, max_size=6), tail=st.lists(ROWS, max_size=2), cut=STAMPS)
def test_samples_equal_brute_force(
    tmp_path_factory: pytest.TempPathFactory, commits: list[Any], tail: list[Any], cut: int
) -> None:
    """Each commit parts its rows as the writer does: what lies above all before it is disjoint."""
    folder = tmp_path_factory.mktemp("files")
    files, truth, high, seq = [], dict[tuple[int, int], int](), dict[int, int](), 0
    for number, commit in enumerate(commits):
        rows = {(sid, ts): seq + at for at, (sid, ts) in enumerate(commit, 1)}
        seq += len(commit)
        truth |= rows
        fresh = [(s, ts, n) for (s, ts), n in rows.items() if ts > high.get(s, -1)]
        late = [(s, ts, n) for (s, ts), n in rows.items() if ts <= high.get(s, -1)]
        for s, ts, _ in fresh:
            high[s] = max(high.get(s, -1), ts)
        for kind, some in ((True, fresh), (False, late)):
            files += write(folder, some, 2 * number + kind, kind) if some else []
    waiting = []
    for block in tail:
        for sid, ts in block:
            seq += 1
            truth[sid, ts] = seq
            waiting.append((sid, ts, seq))
    for where, holds in (
        ("", lambda s, ts: True), ("WHERE path = 'p/2'", lambda s, ts: s == 2),
        (f"WHERE ts >= make_timestamptz({cut})", lambda s, ts: ts >= cut),
        (f"WHERE sid = 1 AND ts < make_timestamptz({cut})", lambda s, ts: s == 1 and ts < cut),
    ):  # fmt: skip
        found = ask(files, waiting, f"SELECT sid, path, ts, seq, value FROM samples {where}")
        expected = {(s, ts): n for (s, ts), n in truth.items() if holds(s, ts)}
        assert len(found) == len(expected)
        assert {(r["sid"], r["ts"]): r["seq"] for r in found} == expected
        assert all(r["value"] == r["seq"] * 0.5 and r["path"] == f"p/{r['sid']}" for r in found)


def test_a_query_on_days_reads_no_row_of_another_day(tmp_path: Path) -> None:
    day = FIRST_DAY * DAY_US
    rows = [(1, day + 5, 1)] + [(1, day + DAY_US + at, 2 + at) for at in range(1000)]
    good, bad = write(tmp_path, rows, 1, True)
    content = bytearray(Path(bad.path).read_bytes())
    footer = 8 + int.from_bytes(content[-8:-4], "little")
    content[4:-footer] = bytes(len(content) - footer - 4)  # the rows are lost, their ranges not
    Path(bad.path).write_bytes(content)
    query = f"SELECT value FROM samples WHERE ts {{}} make_timestamptz({day + DAY_US})"
    assert ask([good, bad], [], query.format("<")) == [{"value": 0.5}]
    with pytest.raises((Refused, Broken)):
        ask([good, bad], [], query.format(">="))


def test_a_file_that_is_gone_is_not_the_queries_fault(tmp_path: Path) -> None:
    gone = SnapshotFile(str(tmp_path / "gone.parquet"), FIRST_DAY, 1, 1, 0, 9, True)
    with pytest.raises(Broken) as caught:
        ask([gone], [], "SELECT * FROM samples")
    assert caught.value.code == "history.gone"


def test_a_query_ends_in_time() -> None:
    with pytest.raises(Refused) as caught:
        ask([], [], "SELECT count(*) FROM range(1000000000000)", seconds=0.3)
    assert caught.value.code == "sql.time"


@pytest.mark.parametrize("again", [False, True])
def test_a_compacted_file_is_read_as_it_is_unless_it_keeps_revisions(
    tmp_path: Path, again: bool
) -> None:
    day = FIRST_DAY * DAY_US
    rows = [(1, day, 1), (1, day + 9, 2), (2, day, 3)] + ([(1, day, 7)] if again else [])
    store = FileStore(tmp_path, lambda _: None)
    (entry,) = store.write([Part("sequence", FIRST_DAY, stored(rows))], "x" * 16, compact=True)
    history: Any = SimpleNamespace(cut=lambda: Cut([], [entry], 9, None))
    nothing: Any = None
    snapshots = Snapshots(history, nothing, tmp_path, SIGNALS.empty_table, list)
    for _ in range(2):
        snapshot = snapshots.take("FROM samples")
        (file,), number = snapshot.files, snapshot.as_of
        assert number == 9, "the snapshot is the reader's cut"
        assert file.is_disjoint is not again
    found = ask([file], [], "SELECT sid, ts, seq FROM samples ORDER BY sid, ts")
    assert [row["seq"] for row in found] == ([7, 2, 3] if again else [1, 2, 3])
