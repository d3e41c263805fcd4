"""The process that carries out SQL: `python -m lineshaft.web.sql_child HISTORY_FOLDER`.

Rules: it is walled in before the first query (`confine`), has no environment, and dies with the
process that started it. Each query gets an engine of its own in memory, closed to files but those
of its snapshot, settings locked. What a query takes is bounded: memory, time, rows, bytes.

Both ways a message is a head in JSON, then tables as Arrow (`read_message`, `write_message`).
"""

import json
import os
import struct
import sys
import threading
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any, BinaryIO, Final

import duckdb
import pyarrow as pa

from lineshaft.core.errors import Broken, LineshaftError, Refused
from lineshaft.web.confine import confine
from lineshaft.web.sql_answers import as_bytes, rehearse
from lineshaft.web.sql_check import check_statement
from lineshaft.web.sql_views import SnapshotFile, samples_sql

__all__ = ["answer", "main", "read_message", "write_message"]

_MEMORY: Final = "768MB"
_ADDRESSES: Final = 4 << 30
#: The engine looks up the limits of its machine when it opens, and ends where it may not.
_LOOKED_AT: Final = (Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
_BATCH: Final = 2048
_HEAD: Final = struct.Struct("<QQ")


def main() -> None:
    """Answer one request after the other until the sender is gone."""
    inward, outward = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # a library that prints must not write into an answer
    sys.meta_path.insert(0, _WithoutPandas())
    rehearse()  # what is loaded late must be loaded before the walls stand
    readable = [Path(sys.argv[1]), *(place for place in _LOOKED_AT if place.exists())]
    write_message(outward, {"walled": confine(readable, _ADDRESSES)}, b"")
    while (message := read_message(inward)) is not None:
        try:
            head, content = answer(*message)
        except LineshaftError as error:
            retry = isinstance(error, Broken)
            head, content = {"error": error.as_dict(), "status": error.status, "retry": retry}, b""
        write_message(outward, head, content)


class _WithoutPandas(MetaPathFinder):
    """Arrow looks for pandas when it meets a time: a second and 60 MB, for nothing."""

    def find_spec(self, name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name)


def read_message(stream: BinaryIO) -> tuple[Any, bytes] | None:
    """Return head and content of the next message, None at the end."""
    lengths = stream.read(_HEAD.size)
    if len(lengths) < _HEAD.size:
        return None
    head, content = _HEAD.unpack(lengths)
    return json.loads(stream.read(head)), stream.read(content)


def write_message(stream: BinaryIO, head: Mapping[str, Any], content: bytes) -> None:
    """Send a message."""
    written = json.dumps(head).encode()
    stream.write(_HEAD.pack(len(written), len(content)) + written)
    stream.write(content)
    stream.flush()


def answer(request: Mapping[str, Any], content: bytes) -> tuple[dict[str, Any], bytes]:
    """Carry out a query on the snapshot that came with it; return how it went and the result.

    Raises Refused for what the query is to blame for, Broken `history.gone` where a file of the
    snapshot is not there any more.
    """
    with duckdb.connect(config={"threads": 1, "memory_limit": _MEMORY}) as engine:
        _check(engine, request["query"])
        timer = threading.Timer(request["seconds"], engine.interrupt)
        timer.start()
        try:
            _furnish(engine, request, content)
            table, is_whole = _fetch(engine, request["query"], request["rows"], request["bytes"])
        except duckdb.InterruptException:
            raise Refused(f"the query took more than {request['seconds']:.0f} s",
                          hint="Ask for a shorter time or fewer signals",
                          code="sql.time") from None  # fmt: skip
        except (duckdb.OutOfMemoryException, pa.ArrowMemoryError, MemoryError):
            raise _too_big() from None
        except duckdb.IOException as error:
            raise Broken(f"a file of the snapshot cannot be read: {_line(error)}",
                         hint="Ask again", code="history.gone") from None  # fmt: skip
        except (duckdb.Error, pa.ArrowException, OSError, ValueError) as error:
            if "Out of Memory" in str(error) or "allocat" in str(error):
                raise _too_big() from None
            raise Refused(f"this query cannot be answered: {_line(error)}",
                          hint="`DESCRIBE samples` shows a table's columns",
                          code="sql.query") from None  # fmt: skip
        finally:
            timer.cancel()
    return {"rows": table.num_rows, "whole": is_whole}, as_bytes(table, is_whole, request)


def _check(engine: duckdb.DuckDBPyConnection, query: str) -> None:
    try:
        found = engine.execute("SELECT json_serialize_sql(?)", [query]).fetchone()
        kinds = [one.type for one in engine.extract_statements(query)]
    except duckdb.Error as error:
        raise Refused(f"this query cannot be read: {_line(error)}", hint="Ask with SELECT",
                      code="sql.form") from None  # fmt: skip
    if found is None or kinds != [duckdb.StatementType.SELECT]:
        raise Refused("only one statement that reads is answered", hint="Ask with SELECT",
                      code="sql.right", status=403)  # fmt: skip
    check_statement(found[0])


def _tables(content: bytes, lengths: Mapping[str, int]) -> dict[str, pa.Table]:
    found, at = {}, 0
    for name, length in lengths.items():
        with pa.ipc.open_stream(pa.py_buffer(content)[at : at + length]) as stream:
            found[name] = stream.read_all()
        at += length
    return found


def _furnish(engine: duckdb.DuckDBPyConnection, request: Mapping[str, Any], content: bytes) -> None:
    """Make the tables, then close the engine to all else; `own` holds what queries cannot name."""
    files = [SnapshotFile(*file) for file in request["files"]]
    tail = [SnapshotFile(*one) for one in request["tail"]]
    tables = _tables(content, request["tables"])
    engine.execute("SET TimeZone='UTC'; SET python_enable_replacements=false; CREATE SCHEMA own")
    for name, table in tables.items():
        engine.register("arrived", table)
        engine.execute(f'CREATE TABLE {name} AS SELECT * FROM "arrived"')
        engine.unregister("arrived")
    if "own.tail" in tables:
        engine.execute(f"CREATE VIEW samples AS {samples_sql(files, tail, 'own.tail', 'signals')}")
    _close(engine, [file.path for file in files])


def _close(engine: duckdb.DuckDBPyConnection, paths: Sequence[str]) -> None:
    """Leave the engine nothing but these files, for ever."""
    listed = ", ".join("'" + path.replace("'", "''") + "'" for path in paths)
    engine.execute(
        "SET temp_directory=''; SET autoinstall_known_extensions=false; "
        "SET autoload_known_extensions=false; SET allow_community_extensions=false; "
        f"SET allowed_paths=[{listed}]; SET enable_external_access=false; "
        "SET lock_configuration=true"
    )


def _fetch(
    engine: duckdb.DuckDBPyConnection, query: str, rows: int, most: int
) -> tuple[pa.Table, bool]:
    """Return the first rows of the answer and whether they are all."""
    reader = engine.sql(query).to_arrow_reader(_BATCH)
    batches: list[pa.RecordBatch] = []
    count = size = 0
    for batch in reader:
        kept = batch.slice(0, min(batch.num_rows, rows - count))
        if size + kept.nbytes > most:
            return pa.Table.from_batches(batches, reader.schema), False
        batches.append(kept)
        count, size = count + kept.num_rows, size + kept.nbytes
        if kept.num_rows < batch.num_rows:
            return pa.Table.from_batches(batches, reader.schema), False
    return pa.Table.from_batches(batches, reader.schema), True


def _too_big() -> Refused:
    return Refused(f"the query needs more than {_MEMORY} of memory",
                   hint="Ask for a shorter time or fewer signals, or aggregate with time_bucket",
                   code="sql.memory")  # fmt: skip


def _line(error: Exception) -> str:
    """Return the first line of what the engine said."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


if __name__ == "__main__":
    main()
