"""Figures by which two histories are compared, signal by signal, however they lie in files.

Per signal: rows, rows with a value, first and last stamp, least and greatest value, and the exact
sums of stamps, qualities and sequence numbers, which a missing or doubled row does not leave as
they are.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import duckdb

__all__ = ["figures", "figures_from", "figures_json", "total_rows"]

Figures = Mapping[str, list[Any]]
_AT_ONCE: Final = 64
_NAMES: Final = (
    "sid", "rows", "values", "first", "last", "least", "greatest", "stamps", "qualities",
    "numbers",
)  # fmt: skip
_OF_FILES: Final = """
INSERT INTO parts SELECT sid, count(*), count(v), min(epoch_us(ts)), max(epoch_us(ts)), min(v),
  max(v), sum(epoch_us(ts)::HUGEINT), sum(q::HUGEINT), sum(seq::HUGEINT)
FROM read_parquet($files) GROUP BY sid
"""
_OF_ALL: Final = """
SELECT sid, sum(n)::BIGINT, sum(good)::BIGINT, min(first), max(last), min(least), max(greatest),
  sum(stamps)::VARCHAR, sum(qualities)::VARCHAR,
  sum(numbers)::VARCHAR
FROM parts GROUP BY sid ORDER BY sid
"""
_PARTS: Final = """
CREATE TEMP TABLE parts (sid INTEGER, n BIGINT, good BIGINT, first BIGINT, last BIGINT,
  least DOUBLE, greatest DOUBLE, stamps HUGEINT, qualities HUGEINT, numbers HUGEINT)
"""


def figures(files: Sequence[Path], tell: Callable[[int], None]) -> Figures:
    """Return the figures of all rows of these files, a column each; `tell` gets bytes done."""
    with duckdb.connect(config={"threads": 2, "memory_limit": "1GB"}) as duck:
        duck.execute("SET TimeZone='UTC'")
        duck.execute(_PARTS)
        for at in range(0, len(files), _AT_ONCE):
            some = files[at : at + _AT_ONCE]
            duck.execute(_OF_FILES, {"files": [str(path) for path in some]})
            tell(sum(path.stat().st_size for path in some))
        found = duck.execute(_OF_ALL).fetchall()
    columns = list(zip(*found, strict=True)) or [()] * len(_NAMES)
    return {name: list(column) for name, column in zip(_NAMES, columns, strict=True)}


def figures_json(found: Figures) -> bytes:
    """Return the figures as they stand in a backup."""
    return json.dumps(found).encode()


def figures_from(raw: bytes) -> Figures:
    """Read what `figures_json` wrote; raise ValueError where it is something else."""
    found = json.loads(raw)
    if not isinstance(found, dict) or tuple(found) != _NAMES:
        raise ValueError("these are no figures")
    return found


def total_rows(found: Figures) -> int:
    """Return how many rows all signals have together."""
    return sum(found["rows"])
