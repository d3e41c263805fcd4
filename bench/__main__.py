"""`python -m bench NAME [--json] [--seconds N] [--runs N]` and what single benches take more."""

import argparse
import importlib

from bench import ground
from bench.figures import show

NAMES = {
    "api": 10.0, "breakdown": 10.0, "calibration": 0.0, "drift": 0.0, "fmi": 0.0, "guards": 0.0,
    "ingest": 300.0, "jobshop": 10.0, "late": 60.0, "latency": 30.0, "ledger": 0.0, "loop": 20.0,
    "mpc": 0.0, "peers": 20.0, "query": 20.0, "size": 60.0, "start": 0.0, "tep": 0.0,
    "tep-fdd": 0.0, "tep-twin": 0.0, "twins": 60.0, "value": 0.0, "whatif": 0.0,
    "williams-otto": 0.0,
}  # fmt: skip
_MORE = ("block", "compact", "step", "rate", "path", "blind", "disturbances")


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description="Measure Lineshaft.")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--json", action="store_true", help="one line a figure")
    parser.add_argument("--seconds", type=float, help="length of a run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--block", type=int, help="samples a block (ingest)")
    parser.add_argument("--compact", action="store_true", help="compact meanwhile (ingest)")
    parser.add_argument("--step", action="store_true", help="one step in memory (twins)")
    parser.add_argument("--rate", type=float, help="samples a second published (twins)")
    parser.add_argument(
        "--path", help="folder with the data of others (breakdown, fmi, jobshop, tep-fdd)"
    )
    parser.add_argument("--blind", action="store_true", help="other names and units (tep)")
    parser.add_argument("--disturbances", action="store_true", help="loop on against off (tep)")
    options = parser.parse_args()
    if options.json:
        ground.be_quiet()
    more = {name: getattr(options, name) for name in _MORE if getattr(options, name)}
    seconds = options.seconds or NAMES[options.name]
    module = importlib.import_module(f"bench.{options.name.replace('-', '_')}")
    figures = module.run(seconds, options.runs, **more)
    for figure in figures if options.json else ():
        print(figure.line())
    if not options.json:
        print(show(figures))
    return 0 if all(figure.ok for figure in figures) else 1


if __name__ == "__main__":
    raise SystemExit(main())
