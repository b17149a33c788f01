"""`scripts/peers/run`: whole passes by convlab and by other inference engines, in turns; records and a table."""

import argparse
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

from .comparison import RELEASE, WORKSPACE, Comparison, ComparisonError
from .records import merge_into


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/peers/run", description=__doc__)
    parser.add_argument("--network", type=_words, default=["paper", "owt"], help="default: paper,owt")
    parser.add_argument("--batch", type=_numbers, default=[1, 16, 64], help="default: 1,16,64")
    parser.add_argument("--threads", type=_numbers, default=[1, 2], help="default: 1,2")
    parser.add_argument("--seconds", type=float, default=40, help="of each comparison's rounds; default: 40")
    parser.add_argument("--out", type=Path, default=WORKSPACE / "results/local/peers", help="folder of records.jsonl")
    args = parser.parse_args()

    for network, batch, threads in product(args.network, args.batch, args.threads):
        print(f"{network}, batch {batch}, {threads} thread{'s' * (threads > 1)}", file=sys.stderr)
        try:
            with tempfile.TemporaryDirectory() as folder:
                records = Comparison(network, batch, threads).measure(Path(folder), args.seconds)
        except ComparisonError as error:
            print(f"peers: {error}", file=sys.stderr)
            return 1
        merge_into(args.out, records)
    report = [RELEASE / "convlab", "report", args.out, "--table", "peers"]
    return subprocess.run(report, check=False).returncode


def _words(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
