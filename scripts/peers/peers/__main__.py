"""`scripts/peers/run`: whole passes or single layers by convlab and by other engines, in turns; records and a table."""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path

from .comparison import Comparison, ComparisonError, Subject
from .engines import ENGINES, HELD, HOLDABLE
from .layers import OTHERS, LayerComparison
from .problems import listed
from .records import Record, merge_into
from .rewrite import ModelError
from .sources import RELEASE, WORKSPACE, add_arguments, network, numbers, sources, words


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/peers/run", description=__doc__)
    add_arguments(parser, "--network paper,owt")
    parser.add_argument(
        "--problems",
        nargs="+",
        metavar="FILE|NETWORK|MODEL",
        help="single layers instead of whole passes: each convolution of these, as `convlab bench` names them",
    )
    parser.add_argument("--batch", type=numbers, help="default: 1,16,64; of layers 1,16")
    parser.add_argument("--threads", type=numbers, default=[1, 2], help="default: 1,2")
    parser.add_argument("--engines", type=words, help=f"default: {','.join(ENGINES)}; of layers {','.join(OTHERS)}")
    parser.add_argument("--isa", choices=HELD, help="instruction set of all; default: the best of each")
    parser.add_argument("--seconds", type=float, default=40, help="of each comparison's rounds; default: 40")
    parser.add_argument("--out", type=Path, default=WORKSPACE / "results/local/peers", help="folder of records.jsonl")
    args = parser.parse_args()
    known = [name for name in (OTHERS if args.problems else ENGINES) if not args.isa or name in HOLDABLE]
    if args.isa:
        variable, value = HELD[args.isa]
        os.environ[variable] = value
    args.engines = args.engines or list(known)
    if unknown := set(args.engines) - set(known):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(known)}")

    done = _layers(args) if args.problems else _passes(args)
    report = [RELEASE / "convlab", "report", args.out, "--table", "peer-layers" if args.problems else "peers"]
    return subprocess.run(report, check=False).returncode or int(not done)


def _passes(args: argparse.Namespace) -> bool:
    """Compares whole passes; whether all could be."""
    done = True
    for source, batch in product(sources(args) or [network("paper"), network("owt")], args.batch or [1, 16, 64]):
        with tempfile.TemporaryDirectory() as folder:
            try:
                model = source.write(Path(folder), batch)
            except ModelError as error:
                print(f"peers: {source.name}: {error}", file=sys.stderr)
                done = False
                continue
            subject = Subject.of(model)
            for threads in args.threads:
                comparison = Comparison(subject, threads, args.engines, args.isa)
                done &= _compare(source.name, batch, threads, args, comparison.measure)
    return done


def _layers(args: argparse.Namespace) -> bool:
    """Compares single convolutions; whether all could be."""
    try:
        problems = listed(args.problems, args.batch or [1, 16])
    except ModelError as error:
        print(f"peers: {error}", file=sys.stderr)
        return False

    done = True
    for problem, threads in product(problems, args.threads):
        comparison = LayerComparison(problem, threads, args.engines, args.isa)
        done &= _compare(problem.name, problem.batch, threads, args, comparison.measure)
    return done


def _compare(
    name: str, batch: int, threads: int, args: argparse.Namespace, measure: Callable[[float], list[Record]]
) -> bool:
    """Makes one comparison and keeps its records at once; whether it could be made."""
    print(f"{name}, batch {batch}, {threads} thread{'s' * (threads > 1)}", file=sys.stderr)
    try:
        merge_into(args.out, measure(args.seconds))
    except ComparisonError as error:
        print(f"peers: {name}: {error}", file=sys.stderr)
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
