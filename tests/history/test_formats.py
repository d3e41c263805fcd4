"""The ways rows leave the house."""

import json

import numpy as np
import pyarrow as pa

from lineshaft.core.signals import Kind, Signal
from lineshaft.rooms.history.engine.rows import STORED, Rows, gather
from lineshaft.rooms.history.formats import as_arrow, as_columns, as_csv, dump
from tests.history.desk import START, block

_ROWS = gather([(9, block([(1, START + 1, 1.5, None, 0), (1, START + 2, None, None, 516),
                           (2, START, None, "=cmd()", 257)]))])  # fmt: skip
_SIGNALS = {1: Signal(1, "a/b/c/d/e/f", "F", Kind.FLOAT, "kPa")}


def test_json_columns_hold_null_for_what_is_no_number() -> None:
    assert json.loads(dump(as_columns(_ROWS))) == {
        "sid": [1, 1, 2], "ts": [START + 1, START + 2, START], "v": [1.5, None, None],
        "s": [None, None, "=cmd()"], "q": [0, 516, 257], "seq": [9, 9, 9],
    }  # fmt: skip
    backwards = as_columns(_ROWS.take(np.array([2, 1, 0])))
    assert json.loads(dump(backwards))["sid"] == [2, 1, 1]
    assert json.loads(dump(as_columns(Rows.empty())))["sid"] == []


def test_arrow_holds_the_stored_columns() -> None:
    with pa.ipc.open_stream(as_arrow(_ROWS.table())) as stream:
        table = stream.read_all()
    assert table.schema.names == STORED.names
    assert table.column("v").to_pylist() == [1.5, None, None]
    assert table.column("s").to_pylist() == [None, None, "=cmd()"]


def test_csv_names_signals_and_qualities_and_runs_no_formula() -> None:
    lines = as_csv(_ROWS, _SIGNALS).decode().splitlines()
    assert lines[0].replace('"', "") == "time,path,value,text,quality,unit"
    cells = [line.replace('"', "").split(",") for line in lines[1:]]
    assert cells[0] == ["2023-12-09T00:00:00.000001Z", "a/b/c/d/e/f", "1.5", "", "good", "kPa"]
    assert cells[1][2:] == ["", "", "bad/link", "kPa"]
    assert cells[2][1:] == ["2", "", "'=cmd()", "uncertain/clock", ""]
    assert len(as_csv(Rows.empty(), {}).splitlines()) == 1
