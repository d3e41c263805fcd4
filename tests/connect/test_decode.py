"""Reading publish responses: what the library writes is read, and noise never fools the reader."""

import math
import struct
import uuid
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from lineshaft.core.quality import BAD, describe
from lineshaft.rooms.connect.protocols.opcua.decode import Malformed, read_publish
from lineshaft.rooms.connect.protocols.opcua.quality import NAMES, is_overflow, quality_of
from lineshaft.rooms.connect.protocols.opcua.units import unece_code, unit_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def response(*items: tuple[int, Any], sequence: int = 5, status: int | None = None) -> bytes:
    made = ua.PublishResponse()
    made.Parameters.SubscriptionId = 77
    made.Parameters.AvailableSequenceNumbers = [1, 2, 3]
    made.Parameters.NotificationMessage.SequenceNumber = sequence
    made.Parameters.NotificationMessage.PublishTime = EPOCH + timedelta(seconds=1000)
    data: list[Any] = []
    if items:
        changes = ua.DataChangeNotification()
        changes.MonitoredItems = [ua.MonitoredItemNotification(h, v) for h, v in items]
        data.append(changes)
    if status is not None:
        data.append(ua.StatusChangeNotification(Status=ua.StatusCode(status)))
    made.Parameters.NotificationMessage.NotificationData = data
    return struct_to_binary(made)


def at(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def test_a_sign_of_life_and_a_status_change() -> None:
    notice = read_publish(response(), [])
    assert (notice.subscription, notice.sequence, notice.changes) == (77, 5, None)
    assert notice.published == 1_000_000_000
    assert read_publish(response(status=0x800A0000), []).status == 0x800A0000


_VARIANTS = st.one_of(
    st.floats(allow_nan=False).map(lambda v: ua.Variant(v, ua.VariantType.Double)),
    st.floats(allow_nan=False, width=32).map(lambda v: ua.Variant(v, ua.VariantType.Float)),
    st.integers(-(2**63), 2**63 - 1).map(lambda v: ua.Variant(v, ua.VariantType.Int64)),
    st.integers(0, 2**64 - 1).map(lambda v: ua.Variant(v, ua.VariantType.UInt64)),
    st.integers(-128, 127).map(lambda v: ua.Variant(v, ua.VariantType.SByte)),
    st.integers(0, 65535).map(lambda v: ua.Variant(v, ua.VariantType.UInt16)),
    st.booleans().map(lambda v: ua.Variant(v, ua.VariantType.Boolean)),
    st.text(max_size=30).map(lambda v: ua.Variant(v, ua.VariantType.String)),
    st.lists(st.floats(allow_nan=False), max_size=4).map(
        lambda v: ua.Variant(v, ua.VariantType.Double, is_array=True)
    ),
    st.just(ua.Variant(ua.LocalizedText("hallo", "de"), ua.VariantType.LocalizedText)),
    st.just(ua.Variant(ua.Range(0, 1), ua.VariantType.ExtensionObject)),
    st.just(ua.Variant(ua.NodeId("x", 3), ua.VariantType.NodeId)),
    st.just(ua.Variant(uuid.UUID(int=7), ua.VariantType.Guid)),
    st.just(ua.Variant(b"abc", ua.VariantType.ByteString)),
    st.just(ua.Variant(EPOCH, ua.VariantType.DateTime)),
    st.just(ua.Variant(ua.QualifiedName("q", 1), ua.VariantType.QualifiedName)),
    st.just(ua.Variant([["a", "b"]], ua.VariantType.String, Dimensions=[1, 2], is_array=True)),
    st.just(ua.Variant(None, ua.VariantType.Null)),
)
_ITEMS = st.lists(
    st.tuples(_VARIANTS, st.sampled_from([0, 0x80340000, 0x40940000]), st.integers(1, 2**50)),
    max_size=12,
)
_NUMERIC = {
    ua.VariantType.Double, ua.VariantType.Float, ua.VariantType.Int64, ua.VariantType.UInt64,
    ua.VariantType.SByte, ua.VariantType.UInt16, ua.VariantType.Boolean,
}  # fmt: skip


@given(_ITEMS, st.booleans())
def test_whatever_comes_each_value_keeps_its_place(
    items: list[tuple[Any, int, int]], texts: bool
) -> None:
    values = [
        (i, ua.DataValue(variant, ua.StatusCode(status), at(us), at(us + 7)))
        for i, (variant, status, us) in enumerate(items)
    ]
    notice = read_publish(response(*values), [texts] * len(values))
    if not items:
        assert notice.changes is None
        return
    found = notice.changes
    assert found is not None and found.handle == list(range(len(items)))
    assert found.ts == [us for _, _, us in items]
    said = found.s or [None] * len(items)
    said = said + [None] * (len(items) - len(said))
    for (variant, status, _), v, q, s in zip(items, found.v, found.q, said, strict=True):
        if status >> 31:
            assert math.isnan(v) and s is None and q == quality_of(status)
        elif texts and variant.VariantType is ua.VariantType.String and not variant.is_array:
            assert s == (variant.Value or "") and math.isnan(v) and q == quality_of(status)
        elif not texts and variant.VariantType in _NUMERIC and not variant.is_array:
            assert v == float(variant.Value) and s is None and q == quality_of(status)
        elif s is None:
            assert math.isnan(v) and q >= BAD


def test_stamps_fall_back_to_the_server_and_to_nothing() -> None:
    one = ua.Variant(1.0, ua.VariantType.Double)
    body = response(
        (0, ua.DataValue(one, ua.StatusCode(0), None, at(9))),
        (1, ua.DataValue(one, ua.StatusCode(0), None, None)),
        (9, ua.DataValue(one, ua.StatusCode(0), at(5), None)),
    )
    found = read_publish(body, [False, False]).changes
    assert found is not None and (found.handle, found.ts) == ([0, 1], [9, 0])


def test_overflow_is_noticed() -> None:
    value = ua.DataValue(ua.Variant(1.0, ua.VariantType.Double), ua.StatusCode(0x480), at(5))
    found = read_publish(response((0, value)), [False]).changes
    assert found is not None and (found.overflow, found.q) == ([0], [0])
    assert not is_overflow(0x80) and not is_overflow(0x400)


@given(st.binary(max_size=300))
def test_noise_is_malformed_or_harmless(noise: bytes) -> None:
    with suppress(Malformed):
        read_publish(noise, [False] * 4)


@given(st.integers(0, 400), st.integers(0, 255), st.integers(0, 400))
def test_a_damaged_response_is_malformed_or_harmless(place: int, byte: int, cut: int) -> None:
    whole = bytearray(
        response(
            (0, ua.DataValue(ua.Variant(1.5, ua.VariantType.Double), None, at(5), at(6))),
            (1, ua.DataValue(ua.Variant("text", ua.VariantType.String), None, at(5), at(6))),
            (2, ua.DataValue(ua.Variant([1, 2], ua.VariantType.Int32), None, at(5), at(6))),
        )
    )
    if place < len(whole):
        whole[place] = byte
    with suppress(Malformed):
        read_publish(bytes(whole[: len(whole) - cut % 50]), [False, True, False])


def test_endless_arrays_and_nests_end() -> None:
    def item(variant: bytes) -> bytes:
        body = struct.pack("<iIB", 1, 0, 1) + variant + struct.pack("<i", -1)
        empty = response((0, ua.DataValue(ua.Variant(True, ua.VariantType.Boolean), None)))
        head = empty[: empty.rindex(struct.pack("<BBH", 1, 0, 811))]
        return head + struct.pack("<BBHBi", 1, 0, 811, 1, len(body)) + body + b"\xff" * 8

    assert read_publish(item(b"\x01\x01"), [False]).changes is not None
    for variant in (
        b"\x80" + struct.pack("<i", 2**31 - 1),
        b"\x98" + struct.pack("<i", 2**31 - 1),
        b"\x18" * 60,
        b"\x96" + struct.pack("<i", 2**31 - 1) + b"\x00" * 50,
        b"\xc1" + struct.pack("<i", 0) + struct.pack("<i", 2**31 - 1),
    ):
        with suppress(Malformed):
            read_publish(item(variant), [False])


def test_quality_names_are_those_of_the_standard() -> None:
    for code, name in NAMES.items():
        assert getattr(ua.StatusCodes, name) == code << 16, name


@given(st.integers(0, 2**32 - 1))
def test_quality_keeps_the_severity(status: int) -> None:
    wanted = {0: 0, 1: 1, 2: 2, 3: 2}[status >> 30]
    assert quality_of(status) // 256 == wanted and describe(quality_of(status))


@pytest.mark.parametrize(
    ("unit_id", "shown", "wanted"),
    [
        (4408652, "°C", "Cel"), (5067080, "m³/h", "m3/h"), (20529, "%", "%"),
        (4536627, "kg/hour", "kg/h"), (-1, "kscmh", "kscmh"), (0, "℃", "Cel"), (2**31 - 1, "", ""),
    ],
)  # fmt: skip
def test_units(unit_id: int, shown: str, wanted: str) -> None:
    assert unit_of("http://www.opcfoundation.org/UA/units/un/cefact", unit_id, shown) == wanted
    assert unece_code(unit_id) == "" or unece_code(unit_id).isalnum()
