"""The tree is that of RFC 6962: its definition, its known vectors, and no wrong proof is taken."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineshaft.ledger.merkle import (
    EMPTY_ROOT,
    Growth,
    Place,
    check_consistency,
    consistency_ranges,
    hash_of,
    inclusion_ranges,
    leaf_hash,
    places,
    root_of_inclusion,
)  # fmt: skip
from lineshaft.ledger.verify import Tampered

# Leaves and roots that the implementations of Certificate Transparency test themselves with.
LEAVES = [bytes.fromhex(text) for text in (
    "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
    "606162636465666768696a6b6c6d6e6f",
)]  # fmt: skip
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


# --- the definition, word for word ------------------------------------------------------------


def _k(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def mth(d: list[bytes]) -> bytes:
    """2.1."""
    if not d:
        return hashlib.sha256().digest()
    if len(d) == 1:
        return hashlib.sha256(b"\x00" + d[0]).digest()
    k = _k(len(d))
    return hashlib.sha256(b"\x01" + mth(d[:k]) + mth(d[k:])).digest()


def path(m: int, d: list[bytes]) -> list[bytes]:
    """2.1.1."""
    if len(d) == 1:
        return []
    k = _k(len(d))
    if m < k:
        return [*path(m, d[:k]), mth(d[k:])]
    return [*path(m - k, d[k:]), mth(d[:k])]


def proof(m: int, d: list[bytes], *, whole: bool = True) -> list[bytes]:
    """2.1.2."""
    if m == len(d):
        return [] if whole else [mth(d)]
    k = _k(len(d))
    if m <= k:
        return [*proof(m, d[:k], whole=whole), mth(d[k:])]
    return [*proof(m - k, d[k:], whole=False), mth(d[:k])]


def grown(data: list[bytes]) -> tuple[Growth, dict[Place, bytes]]:
    growth, hashes = Growth(), dict[Place, bytes]()
    for number, one in enumerate(data):
        hashes[0, number] = leaf_hash(one)
        hashes |= dict(growth.add(leaf_hash(one)))
    return growth, hashes


def numbered(n: int) -> list[bytes]:
    return [f"leaf {i}".encode() for i in range(n)]


# ----------------------------------------------------------------------------------------------


def test_the_known_roots() -> None:
    assert mth([]) == EMPTY_ROOT == Growth().root()
    growth = Growth()
    for leaf, root in zip(LEAVES, ROOTS, strict=True):
        growth.add(leaf_hash(leaf))
        assert growth.root().hex() == root


@pytest.mark.parametrize("n", [1, 2, 3, 7, 8, 9, 31, 33, 64, 65])
def test_all_proofs_of_a_tree_are_those_of_the_definition(n: int) -> None:
    data = numbered(n)
    growth, hashes = grown(data)
    root = mth(data)
    assert growth.root() == root == hash_of((0, n), hashes)
    assert len(hashes) == 2 * n - n.bit_count()
    for m in range(n):
        found = [hash_of(span, hashes) for span in inclusion_ranges(m, n)]
        assert found == path(m, data)
        assert root_of_inclusion(m, n, leaf_hash(data[m]), found) == root
    for m in range(1, n + 1):
        found = [hash_of(span, hashes) for span in consistency_ranges(m, n)]
        assert found == proof(m, data)
        check_consistency(m, n, mth(data[:m]), root, found)


@settings(max_examples=60)
@given(st.data())
def test_a_tree_goes_on_from_what_is_stored(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 300))
    m = data.draw(st.integers(0, n))
    leaves = numbered(n)
    _, hashes = grown(leaves[:m])
    later = Growth(m, [hashes[place] for place in places((0, m))])
    for number, leaf in enumerate(leaves[m:], m):
        hashes[0, number] = leaf_hash(leaf)
        hashes |= dict(later.add(leaf_hash(leaf)))
    assert later.root() == mth(leaves)
    assert hashes == grown(leaves)[1]


@settings(max_examples=80)
@given(st.data())
def test_no_other_proof_is_taken(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 200))
    m = data.draw(st.integers(0, n - 1))
    leaves = numbered(n)
    _, hashes = grown(leaves)
    root = mth(leaves)
    right = [hash_of(span, hashes) for span in inclusion_ranges(m, n)]
    other = data.draw(st.integers(0, n - 1).filter(lambda i: i != m))
    assert not _is_in(other, n, leaves[m], right, root)  # another place
    assert not _is_in(m, n, leaves[other], right, root)  # another leaf
    at = data.draw(st.integers(0, len(right) - 1))
    flipped = bytes([right[at][0] ^ 1]) + right[at][1:]
    for wrong in (right[:at] + right[at + 1 :], [*right[:at], flipped, *right[at + 1 :]],
                  [*right, right[at]]):  # fmt: skip
        assert not _is_in(m, n, leaves[m], wrong, root)


@settings(max_examples=80)
@given(st.data())
def test_no_rewritten_tree_is_taken(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 200))
    m = data.draw(st.integers(1, n - 1))
    leaves = numbered(n)
    changed = list(leaves)
    changed[data.draw(st.integers(0, m - 1))] += b"!"
    for of in (leaves, changed):  # the honest proof, and the one that a forger would make
        _, hashes = grown(of)
        given_ = [hash_of(span, hashes) for span in consistency_ranges(m, n)]
        with pytest.raises(Tampered):
            check_consistency(m, n, mth(leaves[:m]), mth(changed), given_)
    _, hashes = grown(leaves)
    right = [hash_of(span, hashes) for span in consistency_ranges(m, n)]
    for wrong in (right[:-1], right[1:], [*right, right[0]]):
        with pytest.raises(Tampered):
            check_consistency(m, n, mth(leaves[:m]), mth(leaves), wrong)


def test_what_is_no_tree_is_refused() -> None:
    for first, second in ((0, 5), (6, 5), (-1, 5)):
        with pytest.raises(ValueError):
            consistency_ranges(first, second)
        with pytest.raises(Tampered):
            check_consistency(first, second, b"", b"", [])
    for index, size in ((5, 5), (-1, 5), (0, 0)):
        with pytest.raises(ValueError):
            inclusion_ranges(index, size)
        with pytest.raises(Tampered):
            root_of_inclusion(index, size, b"", [])
    with pytest.raises(Tampered, match="two trees of 5"):
        check_consistency(5, 5, b"a", b"b", [])


def _is_in(m: int, n: int, leaf: bytes, given_: list[bytes], root: bytes) -> bool:
    try:
        return root_of_inclusion(m, n, leaf_hash(leaf), given_) == root
    except Tampered:
        return False
