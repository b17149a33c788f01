"""`scripts/peers/run`: whole passes by convlab and by other inference engines, in turns; records and a table."""

import argparse
import subprocess
import sys
import tempfile
from itertools import product
from pathlib import Path

from .comparison import Comparison, ComparisonError
from .engines import ENGINES
from .records import merge_into
from .rewrite import ModelError
from .sources import RELEASE, WORKSPACE, add_arguments, network, numbers, sources, words


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/peers/run", description=__doc__)
    add_arguments(parser, "--network paper,owt")
    parser.add_argument("--batch", type=numbers, default=[1, 16, 64], help="default: 1,16,64")
    parser.add_argument("--threads", type=numbers, default=[1, 2], help="default: 1,2")
    parser.add_argument("--engines", type=_engines, default=list(ENGINES), help=f"default: {','.join(ENGINES)}")
    parser.add_argument("--seconds", type=float, default=40, help="of each comparison's rounds; default: 40")
    parser.add_argument("--out", type=Path, default=WORKSPACE / "results/local/peers", help="folder of records.jsonl")
    args = parser.parse_args()

    failed = False
    for source, batch in product(sources(args) or [network("paper"), network("owt")], args.batch):
        with tempfile.TemporaryDirectory() as folder:
            try:
                model = source.write(Path(folder), batch)
                for threads in args.threads:
                    print(f"{source.name}, batch {batch}, {threads} thread{'s' * (threads > 1)}", file=sys.stderr)
                    merge_into(args.out, Comparison(model, threads, args.engines).measure(args.seconds))
            except (ComparisonError, ModelError) as error:
                print(f"peers: {source.name}: {error}", file=sys.stderr)
                failed = True
    report = [RELEASE / "convlab", "report", args.out, "--table", "peers"]
    return subprocess.run(report, check=False).returncode or int(failed)


def _engines(text: str) -> list[str]:
    names = words(text)
    unknown = set(names) - ENGINES.keys()
    if unknown:
        raise argparse.ArgumentTypeError(f"there is no {', '.join(sorted(unknown))}")
    return names


if __name__ == "__main__":
    sys.exit(main())
