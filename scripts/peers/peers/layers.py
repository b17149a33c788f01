"""One comparison of a single convolution: convlab's families and other engines, each held against the exact result."""

import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from . import workers
from .comparison import OWN, SHARED, ComparisonError
from .contest import LIMITS, OWN_LIMIT, Contest, Reference
from .engines import LAYER_ENGINES, PROGRAMS
from .oracle import exact
from .problems import Problem, drawn, write
from .records import Record, other_record

# Whom a layer is compared with.
OTHERS = (*LAYER_ENGINES, *PROGRAMS)

# What was seen of every process, and what convlab's own says of itself. Peak memory is not among them: that of processes
# which compute one layer is their libraries' and interpreters'.
SEEN = ("samples", "min_ns", "median_ns", "mad_ns", "max_rel_error")
OWN_FIELDS = (*SEEN, "scratch_bytes", "prepared_bytes", "allocations")


class LayerComparison(NamedTuple):
    """What is compared."""

    problem: Problem
    threads: int
    # Names of `OTHERS`.
    engines: list[str]
    # Convlab's instruction set, if not the best.
    isa: str | None = None

    def measure(self, seconds: float) -> list[Record]:
        """Runs every family and engine, in turns for about `seconds`."""
        data = drawn(self.problem)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            write(self.problem, data, folder)
            model, images, output = (folder / name for name in ("conv.onnx", "images.npy", "exact.npy"))
            np.save(output, exact(self.problem, data))
            with Contest(folder, self.threads, Reference(output)) as contest:
                for family in (*self.problem.families, OWN):
                    contest.enter(family, workers.own(family, model, images, self.threads, self.isa), OWN_LIMIT)
                for name in self.engines:
                    start = (
                        workers.program(name, folder, self.threads)
                        if name in PROGRAMS
                        else workers.python(name, model, images, self.threads)
                    )
                    contest.enter(name, start, LIMITS["f32"])
                contest.take_turns(seconds)
                results = contest.results()
        return layer_records(self, results, contest.failures)


def layer_records(comparison: LayerComparison, results: dict[str, Record], failures: dict[str, str]) -> list[Record]:
    """A record for each participant: convlab's families that compute the problem, `auto`, other engines.

    # Raises
    ComparisonError if convlab did not compute it at all.
    """
    problem = comparison.problem
    own = [name for name in (*problem.families, OWN) if name in results]
    if not own:
        raise ComparisonError("; ".join(f"{name}: {failure}" for name, failure in failures.items()))
    base = {field: results[own[0]][field] for field in SHARED} | {
        "kind": "conv",
        "name": problem.name,
        "problem": problem.descriptor,
        "model": "run",
        "cache": "warm",
        "clock": "peers",
    }
    records = []
    for name in (*problem.families, OWN):
        if name in failures:
            print(f"  {name} failed: {failures[name]}", file=sys.stderr)
            chosen = {"algorithm": name, "failure": failures[name]}
        else:
            # A model of one layer: what its process says of the pass is true of the layer.
            found = results[name]
            chosen = {"algorithm": found["layers"][0]["algorithm"]} | {field: found[field] for field in OWN_FIELDS}
            chosen["gflops_effective"] = problem.flops() / found["median_ns"]
        records.append(base | chosen | {"chosen_by": [name]})
    fields = (*SEEN, "engine")
    others = {name: {field: found[field] for field in fields} for name, found in results.items() if name not in own}
    return records + [other_record(base, name, others, failures, problem.flops()) for name in comparison.engines]
