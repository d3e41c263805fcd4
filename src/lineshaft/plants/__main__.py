"""A plant from the command line: `python -m lineshaft.plants --user NAME --folder FOLDER ...`.

Prints one line of JSON when it listens, or one sentence on standard error and exit code 1. For
tests and benchmarks; the platform runs its own.
"""

import argparse
import asyncio
import json
import logging
import signal
import sys
from pathlib import Path

from lineshaft.core.errors import LineshaftError
from lineshaft.plants.process import PlantSettings, RunningPlant, run_plant


def main() -> int:
    """Run a plant until SIGINT or SIGTERM; return the exit code."""
    # The server library logs every refused request with a traceback: noise for a bench.
    logging.getLogger("asyncua").setLevel(logging.CRITICAL)
    options = _parser().parse_args()
    try:
        asyncio.run(_run(options))
    except LineshaftError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"The password file cannot be read: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(options: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    password = await asyncio.to_thread(options.password_file.read_text, encoding="utf-8")
    settings = PlantSettings(
        folder=options.folder,
        user=options.user,
        password=password.strip(),
        kind=options.kind,
        port=options.port,
        speed=options.speed,
        counter_period_ms=options.counter_period_ms,
        heartbeat_timeout_s=options.heartbeat_timeout_s,
        trust_clients="any" if options.trust_any else "list",
        trusted=options.trusted,
    )
    await run_plant(settings, stop, on_ready=_say_ready)


def _say_ready(running: RunningPlant) -> None:
    line = {
        "endpoint": running.endpoint,
        "kind": running.kind,
        "notice": running.notice,
        "certificate": str(running.certificate),
        "thumbprint": running.thumbprint,
    }
    print(json.dumps(line), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lineshaft.plants", description=__doc__)
    parser.add_argument("--kind", choices=["auto", "tep", "williams-otto"], default="auto")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--user", required=True)
    parser.add_argument("--password-file", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="certificate, key, counter")
    parser.add_argument("--speed", type=int, default=1)
    parser.add_argument("--counter-period-ms", type=int, default=100)
    parser.add_argument("--heartbeat-timeout-s", type=float, default=10.0)
    parser.add_argument("--trust-any", action="store_true", help="accept any client certificate")
    parser.add_argument("--trusted", type=Path, help="folder of trusted client certificates")
    return parser


if __name__ == "__main__":
    sys.exit(main())
