"""One engine in a process of its own: plans once, runs when it is asked to.

It says `ready` when it has computed once, answers every line of standard input, a number, with the time of so many runs in
nanoseconds, one run before them not timed, and at the end of input prints what it knows of itself as an object of a
record's fields.
Convlab's own part, `crates/convlab/examples/peer.rs`, keeps the same protocol.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from .engines import ENGINES, LAYER_ENGINES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=ENGINES | LAYER_ENGINES)
    parser.add_argument("model", type=Path, help="in the engine's own format")
    parser.add_argument("input", type=Path, help="images, [n, c, h, w]")
    parser.add_argument("output", type=Path, help="where the output goes, [n, ...]")
    parser.add_argument("--threads", type=int, required=True)
    args = parser.parse_args()
    # Engines print to standard output too: what they say goes to standard error.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    engine = (ENGINES | LAYER_ENGINES)[args.engine]
    module = engine.load_module()
    # Engines read the images where they are: they must not be freed.
    images = np.load(args.input)
    run = module.load(args.model, images, args.threads, engine.precision)
    np.save(args.output, run())
    print("ready", file=answers)
    for line in sys.stdin:
        runs = int(line)
        run()
        start = time.perf_counter_ns()
        for _ in range(runs):
            run()
        print(time.perf_counter_ns() - start, file=answers)
    print(json.dumps({"engine": module.describe(engine.precision)}), file=answers)


if __name__ == "__main__":
    main()
