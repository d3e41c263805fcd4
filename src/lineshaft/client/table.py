"""Table: what a call returns, an Arrow table with doors to pandas and polars.

Stamps keep their zone: µs UTC. Neither pandas nor polars is needed until it is asked for.
"""

from collections.abc import Mapping
from types import ModuleType
from typing import Any

import pyarrow as pa

from lineshaft.core.errors import Refused

__all__ = ["STAMP", "Table", "Trend"]

STAMP = pa.timestamp("us", "UTC")
_SHOWN = 8


class Table:
    """Rows under named columns. `is_whole` is false where the platform left rows out."""

    def __init__(self, data: pa.Table, *, is_whole: bool = True) -> None:
        self._data = data
        self.is_whole = is_whole

    def arrow(self) -> pa.Table:
        """Return the rows as a `pyarrow.Table`, without copying."""
        return self._data

    def pandas(self) -> Any:
        """Return the rows as a `pandas.DataFrame`; paths become categories."""
        _needed("pandas")
        return self._data.to_pandas()

    def polars(self) -> Any:
        """Return the rows as a `polars.DataFrame`."""
        return _needed("polars").from_arrow(self._data)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows as dicts: for few of them."""
        found: list[dict[str, Any]] = self._data.to_pylist()
        return found

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self._data.column_names)

    def __getitem__(self, name: str) -> pa.ChunkedArray:
        """Return a column."""
        if name not in self._data.column_names:
            raise Refused(f"there is no column '{name}'", hint=f"There are {self.columns}",
                          code="table.column")  # fmt: skip
        return self._data.column(name)

    def __len__(self) -> int:
        return int(self._data.num_rows)

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__}: {len(self):,} rows" + ("" if self.is_whole else " (cut)")]
        lines.append(" | ".join(self.columns))
        lines += [" | ".join(map(str, row.values())) for row in
                  self._data.slice(0, _SHOWN).to_pylist()]  # fmt: skip
        return "\n".join([*lines, "…"] if len(self) > _SHOWN else lines)


class Trend(Table):
    """Points that draw signals; `gaps` are the times in which a source could not deliver."""

    def __init__(self, data: pa.Table, gaps: Table) -> None:
        super().__init__(data)
        self.gaps = gaps


def of_columns(columns: Mapping[str, Any], types: Mapping[str, Any]) -> pa.Table:
    """Return a table of these columns (lists or arrays), each of its type."""
    return pa.table({name: _array(columns[name], kind) for name, kind in types.items()})


def _array(values: Any, kind: Any) -> Any:
    return values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, kind)


def _needed(name: str) -> ModuleType:
    try:
        return __import__(name)
    except ImportError:
        raise Refused(f"{name} is not installed here", hint=f"pip install {name}",
                      code="client.missing") from None  # fmt: skip
