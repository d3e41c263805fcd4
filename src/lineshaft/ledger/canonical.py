"""Canonical JSON: one content has one form in bytes (RFC 8785), so that it can be hashed.

Rules: what has no such form is refused, never bent into one: integers beyond ±(2^53 - 1), NaN and
infinity, half characters, names that are no text. Whole floats are written as integers (1.0 is 1).
"""

from typing import Any

import rfc8785

from lineshaft.core.errors import Refused

__all__ = ["canonical"]


def canonical(content: Any) -> bytes:
    """Return the canonical JSON of plain values; raise Refused where there is none.

    >>> canonical({"b": [1.0, "€"], "a": None})
    b'{"a":null,"b":[1,"\\xe2\\x82\\xac"]}'
    """
    try:
        return rfc8785.dumps(content)
    except (ValueError, RecursionError) as error:
        raise Refused(f"this has no canonical JSON: {error!r}"[:300],
                      hint="Numbers must be finite, integers within ±(2^53 - 1)",
                      code="ledger.canonical") from error  # fmt: skip
