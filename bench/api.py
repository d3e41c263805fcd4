"""`api`: how many requests a second for the last values of 100 signals as JSON, signed in.

Eight connections ask from a process of their own, each with a session's cookie; every answer is
looked at.
"""

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import uvloop

from bench.figures import Figure, judge
from bench.ground import Ground, clean_folder, run_platform, say

__all__ = ["run"]

_CONNECTIONS = 8
_SIGNALS = 100


def run(seconds: float, runs: int) -> list[Figure]:
    """Measure and return `requests_per_s`."""
    rates = []
    with clean_folder() as folder, run_platform(folder, ("bus", "history", "web")) as ground:
        ground.wait("system", lambda _: True)
        _fill(folder)
        ground.wait(f"last?sid=1-{_SIGNALS}", lambda a: len(a["sid"]) == _SIGNALS)
        cookie = _sign_in(ground)
        for number in range(runs):
            asked = [sys.executable, "-m", "bench.api", ground.address, cookie, str(seconds)]
            made = subprocess.run(asked, stdout=subprocess.PIPE, text=True, check=True)
            rates.append(float(made.stdout))
            say(f"run {number + 1}/{runs}: {rates[-1]:,.0f} requests/s")
    note = f"{_CONNECTIONS} connections; {_SIGNALS} signals an answer"
    return [judge("api", "requests_per_s", rates, "1/s", 3_000, 10_000, note=note)]


def _fill(folder: Path) -> None:
    start = int(time.time()) * 1_000_000
    command = [sys.executable, "-m", "bench.publisher", str(folder), "0.2", "1000", "1", str(start)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def _sign_in(ground: Ground) -> str:
    code = ground.post("session/code", {})["code"]
    request = urllib.request.Request(
        f"{ground.address}/api/v1/session", data=json.dumps({"code": code}).encode(),
        headers={"Content-Type": "application/json", "X-Lineshaft": "1"},
    )  # fmt: skip
    with urllib.request.urlopen(request) as response:
        return str(response.headers["set-cookie"]).partition(";")[0]


async def _ask(address: str, cookie: str, seconds: float) -> float:
    host, port = address.removeprefix("http://").split(":")
    request = (
        f"GET /api/v1/last?sid=1-{_SIGNALS} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Cookie: {cookie}\r\n\r\n"
    ).encode()
    end = time.monotonic() + seconds

    async def one() -> int:
        reader, writer = await asyncio.open_connection(host, int(port))
        count = 0
        while time.monotonic() < end:
            writer.write(request)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            if b" 200 " not in head[:20] or not body.startswith(b'{"sid":[1,2,3,'):
                raise SystemExit(f"bench: a wrong answer: {head[:40]!r} {body[:100]!r}")
            count += 1
        writer.close()
        return count

    began = time.monotonic()
    counts = await asyncio.gather(*(one() for _ in range(_CONNECTIONS)))
    return sum(counts) / (time.monotonic() - began)


if __name__ == "__main__":
    print(uvloop.run(_ask(sys.argv[1], sys.argv[2], float(sys.argv[3]))))
