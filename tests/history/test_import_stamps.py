"""Times in texts mean what Python's own datetime and zoneinfo say they mean."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lineshaft.core.errors import Refused
from lineshaft.rooms.history.engine.stamp_text import (
    EMPTY,
    FITS,
    SKIPPED,
    TWICE,
    UNREADABLE,
    TimeForm,
    check_time_form,
    parse_stamps,
)  # fmt: skip

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Shanghai",
         "Africa/Casablanca", "Asia/Kathmandu", "UTC", "America/Sao_Paulo"]  # fmt: skip
FORMATS = ["%d.%m.%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p", "%d-%b-%Y %H:%M:%S.%f", "%Y%m%d%H%M%S",
           "%y/%m/%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z", "%d.%m.%Y %H:%M"]  # fmt: skip
_moments = st.datetimes(datetime(1970, 1, 3), datetime(2037, 12, 30))


def us(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def parse(texts: list[str | None], *form: str) -> list[tuple[int, int]]:
    ts, flag = parse_stamps(pa.array(texts, pa.utf8()), TimeForm("t", *form))
    return list(zip(ts.tolist(), flag.tolist(), strict=True))


@pytest.mark.parametrize("format", FORMATS)
@given(moments=st.lists(_moments, min_size=1, max_size=20))
def test_patterns_read_what_strftime_writes(format: str, moments: list[datetime]) -> None:
    texts = [moment.replace(tzinfo=UTC).strftime(format) for moment in moments]
    wanted = [datetime.strptime(text, format).replace(tzinfo=UTC) for text in texts]
    assert parse(list(texts), format) == [(us(moment), FITS) for moment in wanted]


@given(
    st.lists(
        st.tuples(_moments, st.sampled_from([" ", "T"]),
                  st.sampled_from(["", "Z", "+08:00", "-0330"]),
                  st.sampled_from(["auto", "seconds", "minutes"])),
        min_size=1, max_size=20,
    )
)  # fmt: skip
def test_iso_reads_what_isoformat_writes(
    cases: list[tuple[datetime, str, str, str]],
) -> None:
    texts = [moment.isoformat(mark, spec) + zone for moment, mark, zone, spec in cases]
    wanted = [datetime.fromisoformat(text) for text in texts]
    aware = [moment if moment.tzinfo else moment.replace(tzinfo=UTC) for moment in wanted]
    assert parse(list(texts)) == [(us(moment), FITS) for moment in aware]


_digits = st.text("0123456789.:-/T Z+", max_size=26)


@given(st.lists(_digits, max_size=20))
def test_what_is_no_time_is_never_read_as_one(texts: list[str]) -> None:
    for text, (_, flag) in zip(texts, parse(list(texts)), strict=True):
        if flag == FITS:
            datetime.fromisoformat(text.strip().replace(" ", "T", 1).replace(" ", ""))


@pytest.mark.parametrize("zone", ZONES)
@given(data=st.data())
def test_local_times_follow_their_zone(zone: str, data: st.DataObject) -> None:
    place = ZoneInfo(zone)
    near = [datetime(2024, m, d, h, 30) for m, d in [(3, 10), (3, 31), (4, 7), (10, 6), (10, 27),
            (11, 3), (4, 14), (2, 18)] for h in (0, 1, 2, 3)]  # fmt: skip
    local = data.draw(st.lists(st.one_of(_moments, st.sampled_from(near)), min_size=1, max_size=9))
    local = [moment.replace(microsecond=0, second=0) for moment in local]
    for fold in ("refuse", "first", "second"):
        told = parse([str(moment) for moment in local], "iso", zone, fold)
        for moment, (ts, flag) in zip(local, told, strict=True):
            both = [moment.replace(tzinfo=place, fold=n).astimezone(UTC) for n in (0, 1)]
            back = [one.astimezone(place).replace(tzinfo=None) for one in both]
            if moment not in back:
                assert flag == SKIPPED, (moment, zone)
            elif both[0] != both[1] and fold == "refuse":
                assert flag == TWICE, (moment, zone)
            else:
                assert (ts, flag) == (us(both[fold == "second"]), FITS), (moment, zone)


@given(st.lists(st.integers(0, 4_000_000_000_000_000), min_size=1, max_size=20))
def test_epochs_are_exact(stamps: list[int]) -> None:
    assert parse([f"{ts}" for ts in stamps], "us") == [(ts, FITS) for ts in stamps]
    assert parse([f"{ts}123" for ts in stamps], "ns") == [(ts, FITS) for ts in stamps]
    assert parse([f"{ts / 1e6:.6f}" for ts in stamps], "s") == [(ts, FITS) for ts in stamps]
    assert parse([f"{ts // 1000}" for ts in stamps], "ms") == [
        (ts // 1000 * 1000, FITS) for ts in stamps
    ]


def test_odd_and_empty_ones_are_marked() -> None:
    texts = ["2024-02-30", "", None, "  ", "2024-01-01T24:00:00", "0000-01-01", "9" * 30,
             "2024-01-01T00:00:00.123456789Z", "+2024-01-01", "2024-W01-1",
             "٢٠٢٤-01-01"]  # fmt: skip
    fits = 1_704_067_200_123_456
    marks = [UNREADABLE, EMPTY, EMPTY, EMPTY, UNREADABLE, UNREADABLE, UNREADABLE, FITS]
    told = parse(texts)
    assert [flag for _, flag in told] == [*marks, UNREADABLE, UNREADABLE, UNREADABLE]
    assert told[7][0] == fits


@pytest.mark.parametrize(
    ("kind", "value", "us"),
    [(pa.timestamp("ns", "UTC"), 1_700_000_000_123_456_789, 1_700_000_000_123_456),
     (pa.timestamp("s"), 1_700_000_000, 1_700_000_000_000_000),
     (pa.timestamp("s"), 1 << 61, None), (pa.date32(), 19_700, 19_700 * 86_400_000_000)],
)  # fmt: skip
def test_columns_of_times_are_taken_as_they_are(
    kind: pa.DataType, value: int, us: int | None
) -> None:
    storage = pa.int32() if kind == pa.date32() else pa.int64()
    column = pa.array([value, None], storage).view(kind)
    ts, flag = parse_stamps(column, TimeForm("t"))
    assert (ts[0], flag[0]) == ((us, FITS) if us else (0, UNREADABLE)) and flag[1] == EMPTY


@pytest.mark.parametrize(
    "form",
    [("%Y-%m",), ("%H:%M",), ("%Y-%m-%d %Q",), ("%Y%Y%m%d",), ("%d.%m.%Y %I:%M",), ("x" * 200,),
     ("iso", "Mars/Base"), ("iso", "../../etc/passwd"), ("iso", "+99:00"), ("iso", "UTC", "maybe"),
     ("iso", ""), ("iso", "\0")],
)  # fmt: skip
def test_forms_that_are_none_are_refused(form: tuple[str, ...]) -> None:
    with pytest.raises(Refused) as caught:
        check_time_form(TimeForm("t", *form))
    assert caught.value.hint and caught.value.code.startswith("import.")
