"""Frozen records of arrays as bytes and back, exactly; no pickle, so reading runs no code."""

import io
import zipfile
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np

from lineshaft.core.errors import Refused

__all__ = ["from_bytes", "to_bytes"]

T = TypeVar("T")


def _names(kind: Any) -> list[str]:
    return list(getattr(kind, "_fields", ())) or [field.name for field in fields(kind)]


def to_bytes(record: Any) -> bytes:
    """Return a dataclass or named tuple of arrays and tuples of text as an npz archive."""
    whole = io.BytesIO()
    values = {name: getattr(record, name) for name in _names(type(record))}
    arrays: dict[str, Any] = {
        name: np.array(value, np.str_) if isinstance(value, tuple) else np.asarray(value)
        for name, value in values.items()
    }
    np.savez(whole, **arrays)
    return whole.getvalue()


def from_bytes(kind: type[T], data: bytes) -> T:
    """Return the record that `to_bytes` wrote; Refused where the bytes are not of this kind."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        given = {
            name: tuple(map(str, array)) if array.dtype.kind == "U" else array
            for name, array in arrays.items()
        }
        if given.keys() != set(_names(kind)):
            raise ValueError("other fields")
        return kind(**given)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise Refused(
            f"these bytes hold no {kind.__name__}: {error}", hint="Train it again", code="bad_bytes"
        ) from None
