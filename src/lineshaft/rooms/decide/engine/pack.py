"""Learned state as bytes and back: named arrays and plain facts, exactly, the same bytes each time.

Rules: no pickle, so reading runs no code; what was written by another schema, or is torn, is
Refused. A head of JSON (schema, facts, names and shapes) stands before the arrays' raw bytes.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lineshaft.core.errors import Refused

__all__ = ["pack", "unpack"]

_KINDS = {"float64": np.float64, "int64": np.int64, "bool": np.bool_}


def pack(schema: str, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return facts (anything JSON can hold) and arrays (float64, int64, bool) as bytes."""
    shapes = [[name, str(each.dtype), list(each.shape)] for name, each in arrays.items()]
    head = {"schema": schema, "facts": dict(facts), "arrays": shapes}
    body = b"".join(np.ascontiguousarray(each).tobytes() for each in arrays.values())
    return json.dumps(head, sort_keys=True).encode() + b"\n" + body


def unpack(schema: str, data: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return what `pack` was given; Refused where the bytes are not of this schema, or torn."""
    head, _, body = data.partition(b"\n")
    try:
        told = json.loads(head)
        if told["schema"] != schema:
            raise ValueError(f"they are of schema {told['schema']!r}")
        arrays, at = {}, 0
        for name, kind, shape in told["arrays"]:
            size = int(np.prod(shape, dtype=np.int64))
            flat: NDArray[Any] = np.frombuffer(body, _KINDS[kind], size, at)
            arrays[name], at = flat.reshape(shape).copy(), at + flat.nbytes
        if at != len(body):
            raise ValueError("they are longer than they say")
        return dict(told["facts"]), arrays
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(
            f"these bytes hold no saved state of '{schema}': {error}",
            hint="Start without it; what was learned is learned again", code="loop.saved",
        ) from None  # fmt: skip
