"""What host and child say to one another: a head in JSON, then columns of float64 or bytes.

Rules: both lengths come first; a reader that knows what it expects refuses what is longer, since
the code in the child is a stranger's.
"""

import json
import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["END", "Floats", "as_message", "read_message"]

Floats = NDArray[np.float64]
#: What is told of the end of an FMU's process: exit code, or -signal; most bytes it had in memory.
END: Final = struct.Struct("<iQ")
_LENGTHS: Final = struct.Struct("<QQ")
_MAX_HEAD: Final = 64 << 20


def as_message(head: Mapping[str, Any], content: bytes = b"") -> bytes:
    """Return a message."""
    written = json.dumps(head).encode()
    return b"".join((_LENGTHS.pack(len(written), len(content)), written, content))


def read_message(
    read: Callable[[int], bytes], most_head: int = _MAX_HEAD, most: int | None = None
) -> tuple[dict[str, Any], bytes]:
    """Return head and content, taken with `read(n)`, which gives exactly n bytes or raises.

    Raises ValueError for a message that is longer than expected, or no message.
    """
    head, content = _LENGTHS.unpack(read(_LENGTHS.size))
    if head > most_head or (most is not None and content > most):
        raise ValueError(f"a message of {head} + {content} bytes")
    said = json.loads(read(head))
    if not isinstance(said, dict):
        raise ValueError("a head that is no object")
    return said, read(content)
