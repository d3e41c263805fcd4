"""The pure parts of the bench beside peers: what is sent, what is right, what is skipped."""

import json
from itertools import islice

import numpy as np
import pytest
from bench.peer_servers import Influx, Victoria, as_json_lines, as_lines
from bench.query import same_trend

from bench import peer_servers, peers

START = 1_795_046_400_000_000
TS = START + np.array([[0, 1_002_000], [3_000, 1_000_000]])
V = np.array([[1.5, -0.25], [100.0, 33.31]])


def test_a_block_as_lines() -> None:
    assert as_lines("s,sid={} v=", TS, V).decode().splitlines() == [
        "s,sid=1 v=1.5 1795046400000",
        "s,sid=1 v=-0.25 1795046401002",
        "s,sid=2 v=100 1795046400003",
        "s,sid=2 v=33.31 1795046401000",
    ]


def test_a_block_as_json_lines() -> None:
    first, second = map(json.loads, as_json_lines(TS, V).splitlines())
    assert first == {
        "metric": {"__name__": "v", "sid": "1"},
        "values": [1.5, -0.25],
        "timestamps": [1795046400000, 1795046401002],
    }
    assert second["values"] == [100, 33.31]


def test_a_second_of_all_signals_goes_as_text() -> None:
    path, body = Victoria.prepare(TS[:, :1], V[:, :1])
    assert path.endswith("prometheus")
    assert body == b'v{sid="1"} 1.5 1795046400000\nv{sid="2"} 100 1795046400003\n'


@pytest.mark.parametrize("shape", [peers.live, peers.month])
def test_all_systems_can_keep_the_stamps_whole(shape) -> None:  # type: ignore[no-untyped-def]
    for ts, v in islice(shape(START), 3):
        assert ts.shape == v.shape and ts.size in (10_000, 9_600)
        assert (ts % 1000 == 0).all() and (ts % 1_000_000 < 10_000).all()
        assert (np.diff(ts) > 0).all()


def _answers(least: np.ndarray, most: np.ndarray, mean: np.ndarray) -> list[tuple[type, bytes]]:
    rows = [[at, *map(float, cell)] for at, cell in enumerate(zip(least, most, mean, strict=True))]
    lines = {"results": [{"series": [{"values": rows}]}]}
    kinds = {"min": least, "max": most, "avg": mean}
    found = [
        {"metric": {"rollup": kind}, "values": [[0, str(v)] for v in values]}
        for kind, values in kinds.items()
    ]
    range_ = {"data": {"result": found}}
    return [(Influx, json.dumps(lines).encode()), (Victoria, json.dumps(range_).encode())]


def test_an_answer_is_held_against_all_samples() -> None:
    v = np.random.default_rng(1).uniform(0, 100, 3000)
    cells = v.reshape(1000, 3)
    right = cells.min(1), cells.max(1), cells.mean(1)
    assert [peer.is_right(answer, v, v) for peer, answer in _answers(*right)] == [True, True]
    right[1][7] += 0.01
    assert [peer.is_right(answer, v, v) for peer, answer in _answers(*right)] == [False, False]


def test_our_answer_is_held_against_all_samples() -> None:
    ts = np.arange(3000) * 1_000_000
    v = np.zeros(3000)
    v[[310, 450]] = 9, -9
    drawn = [0, 299, 300, 310, 450, *(t for s in range(600, 3000, 300) for t in (s, s + 299)), 599]
    at = np.array(sorted(drawn))
    one = {"ts": ts[at].tolist(), "v": v[at].tolist()}
    assert same_trend(one, ts, v, 3_000_000_000)
    one["v"][at.tolist().index(450)] = -8.99
    assert not same_trend(one, ts, v, 3_000_000_000)


def test_absent_peers_are_named(monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(peer_servers.shutil, "which", lambda _: None)
    with pytest.raises(SystemExit) as ended:
        peers.run(1, 1)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "skipped: influxdb is not installed (apt-get install influxdb)" in said
    assert "skipped: victoria-metrics is not installed" in said


def test_the_ratios_are_to_the_best_peer_of_each_run() -> None:
    names = ("live_per_s", "month_per_s", "trend_ms", "lost")
    found = {
        name: {key: list(pair) for key, pair in zip(names, pairs, strict=True)}
        for name, pairs in {
            "us": ((10.0, 10.0), (12.0, 12.0), (2.0, 4.0), (0.0, 3.0)),
            "one": ((5.0, 2.0), (1.0, 6.0), (4.0, 40.0), (0.0, 0.0)),
            "two": ((1.0, 4.0), (3.0, 3.0), (8.0, 20.0), (9.0, 9.0)),
        }.items()
    }
    figures = {figure.figure: figure for figure in peers.judge_all(found)}
    assert figures["ratio_ingest"].value == 3.0 and figures["ratio_ingest"].ok
    assert figures["ratio_live"].value == 2.25
    assert figures["ratio_trend"].value == 3.5
    assert figures["lost_after_kill"].value == 3 and not figures["lost_after_kill"].ok
    assert figures["lost of two"].value == 9 and figures["lost of two"].ok
