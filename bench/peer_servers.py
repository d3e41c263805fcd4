"""The peers beside which `peers` measures: InfluxDB 1 and VictoriaMetrics, as Debian gives them.

Each runs on a folder of the bench and free ports of this machine, with its own defaults but for
where it listens and keeps its data. What is sent is made before, so that no formatting of ours
slows a peer, and goes the way in that was the fastest for its shape.
"""

import json
import os
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bench.ground import Asker
from lineshaft.bus.server import free_port
from lineshaft.children import die_with_parent

__all__ = ["Influx", "Victoria", "as_json_lines", "as_lines", "bytes_on_disk", "present_peers"]

_COLUMNS = 1000
_CALM_S = 3
_SECOND = 1_000_000


def as_lines(name: str, ts: np.ndarray, v: np.ndarray) -> bytes:
    """Return stamps (µs) and values, shape `(signals, times)`, as a line of text for each sample:
    `name` with the signal's number in its braces, value, stamp in ms."""
    names = pa.array([name.format(sid) for sid in range(1, len(ts) + 1)])
    names = names.take(pa.array(np.repeat(np.arange(len(ts)), ts.shape[1])))
    stamps = _text(ts.ravel() // 1000)
    lines = pc.binary_join_element_wise(names, _text(v.ravel()), " ", stamps, "\n", "")
    return bytes(lines.buffers()[2])[: np.frombuffer(lines.buffers()[1], np.int32)[len(lines)]]


def as_json_lines(ts: np.ndarray, v: np.ndarray) -> bytes:
    """Return stamps (µs) and values, shape `(signals, times)`, as lines of JSON, one a signal."""
    bounds = pa.array(np.arange(len(ts) + 1) * ts.shape[1], pa.int32())
    stamps, values = (
        pc.binary_join(pa.ListArray.from_arrays(bounds, _text(column)), ",").to_pylist()
        for column in (ts.ravel() // 1000, v.ravel())
    )
    return "".join(
        f'{{"metric":{{"__name__":"v","sid":"{sid}"}},"values":[{some}],"timestamps":[{at}]}}\n'
        for sid, (some, at) in enumerate(zip(values, stamps, strict=True), 1)
    ).encode()


def _text(column: np.ndarray) -> pa.Array:
    return pa.array(column).cast(pa.string())


def bytes_on_disk(folder: Path) -> int:
    """Return what the files below a folder take on disk."""
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())


class _Peer(ABC):
    """A peer's server on a new folder."""

    title: ClassVar[str]
    package: ClassVar[str]
    binary: ClassVar[str]
    _connections: ClassVar[int]
    _ready: ClassVar[str]

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder

    @classmethod
    def name(cls) -> str:
        """Return its name with the version of its package."""
        command = ["dpkg-query", "-W", "-f=${Version}", cls.package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return f"{cls.title} {done.stdout or 'of unknown version'}"

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run it, and end it afterwards."""
        self._start()
        try:
            yield
        finally:
            self._stop()

    def kill(self) -> None:
        """Kill it at once (SIGKILL)."""
        self._process.kill()
        self._process.wait()

    def send(self, bodies: Sequence[tuple[str, bytes]]) -> float:
        """Send all, as path and body; return the seconds until all are acknowledged."""
        waiting = deque(bodies)

        def work() -> None:
            asker = Asker(self._address)
            while waiting:
                try:
                    path, body = waiting.popleft()
                except IndexError:  # another connection took the last
                    return
                asker.post(path, body)

        began = time.monotonic()
        with ThreadPoolExecutor(self._connections) as pool:
            try:
                for one in [pool.submit(work) for _ in range(self._connections)]:
                    one.result()
            finally:
                waiting.clear()  # where one has failed or we are interrupted, the others end too
        return time.monotonic() - began

    def size(self) -> int:
        """Return the bytes it takes on disk."""
        return bytes_on_disk(self._folder)

    @classmethod
    def is_right(cls, answer: bytes, ts: np.ndarray, v: np.ndarray) -> bool:
        """Return whether a trend's answer is what all samples of the signal give."""
        cells = v.reshape(_COLUMNS, -1)
        wanted = (cells.min(1), cells.max(1), cells.mean(1))
        return bool(np.allclose(cls.columns(answer), wanted, rtol=1e-12, atol=1e-9))

    def _start(self, **environ: str) -> None:
        port = free_port()
        self._address = f"http://127.0.0.1:{port}"
        command, more = self._command(port)
        with self._folder.with_suffix(".log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.binary, *command], env={**os.environ, **more, **environ},
                stdout=log, stderr=log, preexec_fn=die_with_parent,
            )  # fmt: skip
        try:
            self._wait(self._answers)
        except BaseException:
            self._stop()
            raise
        self._asker = Asker(self._address)

    def _answers(self) -> bool:
        try:
            Asker(self._address).ask(self._ready)
        except OSError:
            return False
        return True

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self.kill()

    def _wait(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + 600
        while not holds():
            if time.monotonic() > end or self._process.poll() is not None:
                log = self._folder.with_suffix(".log").read_text()[-600:]
                raise SystemExit(f"bench: {self.title} does not come up or to rest: {log}")
            time.sleep(0.2)

    @abstractmethod
    def _command(self, port: int) -> tuple[list[str], dict[str, str]]:
        """Return its arguments and environment."""

    @staticmethod
    @abstractmethod
    def columns(answer: bytes) -> np.ndarray:
        """Return min, max and mean of a trend's answer, shape `(3, 1000)`."""


class Influx(_Peer):
    """InfluxDB 1: what it acknowledged is in its write-ahead log, and synced."""

    title, package, binary = "InfluxDB", "influxdb", "influxd"
    _connections, _ready = 4, "query?q=create+database+b"

    @staticmethod
    def prepare(ts: np.ndarray, v: np.ndarray) -> tuple[str, bytes]:
        """Return a block as lines of its own protocol."""
        return "write?db=b&precision=ms", as_lines("s,sid={} v=", ts, v)

    def settle(self) -> None:
        """Have all files fully compacted, for which it waits for hours of rest otherwise."""
        self._stop()
        calm = ("CACHE_SNAPSHOT_WRITE", "COMPACT_FULL_WRITE")
        self._start(**{f"INFLUXDB_DATA_{name}_COLD_DURATION": f"{_CALM_S}s" for name in calm})
        time.sleep(4 * _CALM_S)  # until each shard has its last file

        def is_one_a_shard() -> bool:
            files = list((self._folder / "data").rglob("*.tsm*"))
            return len({file.parent for file in files}) == len(files)

        self._wait(is_one_a_shard)

    def trend(self, sid: int, start: int, end: int) -> tuple[float, bytes]:
        """Return the ms and the answer: min, max and mean of each column."""
        wide = (end - start) // _COLUMNS // _SECOND
        where = f"sid = '{sid}' AND time >= {start}u AND time < {end}u"
        return self._query(f"SELECT min(v), max(v), mean(v) FROM s WHERE {where} "
                           f"GROUP BY time({wide}s, {start // _SECOND % wide}s)")  # fmt: skip

    @staticmethod
    def columns(answer: bytes) -> np.ndarray:
        """Return what a trend's answer holds."""
        return np.array(_series(answer), float)[:, 1:].T

    def count(self, start: int, end: int, signals: int) -> int:
        """Return how many samples of all signals can be read."""
        where = f"time >= {start}u AND time < {end}u"
        return sum(
            int(row[1]) for row in _series(self._query(f"SELECT count(v) FROM s WHERE {where}")[1])
        )

    def _query(self, text: str) -> tuple[float, bytes]:
        return self._asker.ask("query", db="b", epoch="u", q=text)

    def _command(self, port: int) -> tuple[list[str], dict[str, str]]:
        given = {
            "BIND_ADDRESS": f"127.0.0.1:{free_port()}", "HTTP_BIND_ADDRESS": f"127.0.0.1:{port}",
            "META_DIR": self._folder / "meta", "DATA_DIR": self._folder / "data",
            "DATA_WAL_DIR": self._folder / "wal", "REPORTING_DISABLED": "true",
            "HTTP_LOG_ENABLED": "false", "MONITOR_STORE_ENABLED": "false",
        }  # fmt: skip
        environ = {f"INFLUXDB_{name}": str(value) for name, value in given.items()}
        return ["run", "-config", os.devnull], environ


def _series(answer: bytes) -> list[list[Any]]:
    [result] = json.loads(answer)["results"]
    if "error" in result:
        raise SystemExit(f"bench: InfluxDB: {result['error']}")
    return result["series"][0]["values"] if "series" in result else []


class Victoria(_Peer):
    """VictoriaMetrics: the newest seconds of what it acknowledged lie in memory only."""

    title, package, binary = "VictoriaMetrics", "victoria-metrics", "victoria-metrics"
    _connections, _ready = 8, "health"

    @staticmethod
    def prepare(ts: np.ndarray, v: np.ndarray) -> tuple[str, bytes]:
        """Return a block as JSON, or where that held one sample a line, as Prometheus' text."""
        if ts.shape[1] > 1:
            return "api/v1/import", as_json_lines(ts, v)
        return "api/v1/import/prometheus", as_lines('v{{sid="{}"}} ', ts, v)

    def settle(self) -> None:
        """Have all files merged."""
        self._asker.ask("internal/force_flush")
        self._asker.ask("internal/force_merge")
        time.sleep(1)

        def is_merged() -> bool:
            lines = self._asker.ask("metrics")[1].splitlines()
            return all(one.endswith(b" 0") for one in lines if one.startswith(b"vm_active_"))

        self._wait(is_merged)

    def trend(self, sid: int, start: int, end: int) -> tuple[float, bytes]:
        """Return the ms and the answer: min, max and mean of each column, not from its cache of
        answers."""
        wide = (end - start) // _COLUMNS // _SECOND
        # A column ends with its time and includes it: 1 ms before the next begins.
        times = {"start": f"{start / 1e6 + wide - 0.001:.3f}", "end": f"{end / 1e6 - 0.001:.3f}"}
        text = f'rollup(v{{sid="{sid}"}}[{wide}s])'
        return self._asker.ask(
            "api/v1/query_range", query=text, step=f"{wide}s", nocache=1, **times
        )

    @staticmethod
    def columns(answer: bytes) -> np.ndarray:
        """Return what a trend's answer holds."""
        found = json.loads(answer)["data"]["result"]
        kinds = {one["metric"]["rollup"]: [float(v) for _, v in one["values"]] for one in found}
        return np.array([kinds["min"], kinds["max"], kinds["avg"]])

    def count(self, start: int, end: int, signals: int) -> int:
        """Return how many samples of all signals can be read."""
        text = f"sum(count_over_time(v[{(end - start) // 1000}ms]))"
        _, answer = self._asker.ask("api/v1/query", query=text, time=end / 1e6 - 0.001, nocache=1)
        return sum(int(one["value"][1]) for one in json.loads(answer)["data"]["result"])

    def _command(self, port: int) -> tuple[list[str], dict[str, str]]:
        given = {"storageDataPath": self._folder, "httpListenAddr": f"127.0.0.1:{port}",
                 "retentionPeriod": "1y", "loggerLevel": "ERROR"}  # fmt: skip
        return [f"-{name}={value}" for name, value in given.items()], {}


def present_peers() -> tuple[list[type[Influx] | type[Victoria]], list[str]]:
    """Return the peers that this machine has, and a sentence for each that it has not."""
    there, skipped = list[type[Influx] | type[Victoria]](), list[str]()
    for peer in (Influx, Victoria):
        if shutil.which(peer.binary):
            there.append(peer)
        else:
            name = peer.package
            skipped.append(f"skipped: {name} is not installed (apt-get install {name})")
    return there, skipped
