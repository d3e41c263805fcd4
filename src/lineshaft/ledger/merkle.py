"""The Merkle tree of RFC 6962, section 2.1, from the stored hashes of its perfect subtrees.

Rules: pure. A perfect subtree is named by its place `(level, index)`: it holds the leaves from
`index * 2**level` on, `2**level` of them; level 0 is a leaf. Once full it never changes, so it is
stored once, and every root and proof of any size is made of O(log n) of them. Which ones are needed
is said first (`…_ranges`, `places`), so that a store can fetch them at once.
"""

from collections.abc import Iterable, Mapping, Sequence

from lineshaft.ledger.verify import check_consistency, leaf_hash, node_hash, root_of_inclusion

__all__ = [
    "EMPTY_ROOT", "Growth", "Place", "Range", "check_consistency", "consistency_ranges",
    "hash_of", "inclusion_ranges", "leaf_hash", "node_hash", "places", "root_of_inclusion",
]  # fmt: skip

Place = tuple[int, int]
Range = tuple[int, int]

#: The root of a tree without leaves: the hash of nothing.
EMPTY_ROOT = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


def places(span: Range) -> list[Place]:
    """Return the perfect subtrees that make up the leaves [start, end), left to right.

    `span` must be a subtree of some tree: as long as its alignment allows, or shorter.

    >>> places((0, 7))
    [(2, 0), (1, 2), (0, 6)]
    """
    found, (start, end) = [], span
    while start < end:
        level = (end - start).bit_length() - 1
        found.append((level, start >> level))
        start += 1 << level
    return found


def hash_of(span: Range, hashes: Mapping[Place, bytes]) -> bytes:
    """Return the hash of the leaves [start, end) from those of their `places`."""
    return _fold([hashes[place] for place in places(span)])


def _fold(parts: Sequence[bytes]) -> bytes:
    """Return the hash over subtrees of falling size, left to right (2.1)."""
    if not parts:
        return EMPTY_ROOT
    *left, root = parts
    for part in reversed(left):
        root = node_hash(part, root)
    return root


def _split(size: int) -> int:
    """Return the largest power of two below `size` (which is 2 or more)."""
    return 1 << (size - 1).bit_length() - 1


def inclusion_ranges(index: int, size: int) -> list[Range]:
    """Return the leaves under each hash of the audit path of leaf `index` (2.1.1), lowest first."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    path: list[Range] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start = middle
    return path[::-1]


def consistency_ranges(first: int, second: int) -> list[Range]:
    """Return the leaves under each hash of the proof that the tree of `second` leaves begins with
    that of `first` (2.1.2)."""
    if not 0 < first <= second:
        raise ValueError(f"no tree of {second} begins with one of {first}")
    path: list[Range] = []
    start, end, whole = 0, second, True
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((start, middle))
            start, whole = middle, False
    return [*([] if whole else [(start, end)]), *path[::-1]]


class Growth:
    """A tree that grows: its size, and the hashes of the perfect subtrees that make it up."""

    def __init__(self, size: int = 0, parts: Iterable[bytes] = ()) -> None:
        self.size = size
        self._parts = list(parts)

    def add(self, leaf: bytes) -> list[tuple[Place, bytes]]:
        """Take one more leaf by its hash; return the subtrees above it that are full now."""
        level, index, full = 0, self.size, []
        self._parts.append(leaf)
        while index & 1:
            right, left = self._parts.pop(), self._parts.pop()
            level, index = level + 1, index >> 1
            self._parts.append(node_hash(left, right))
            full.append(((level, index), self._parts[-1]))
        self.size += 1
        return full

    def root(self) -> bytes:
        """Return the root over all leaves."""
        return _fold(self._parts)
