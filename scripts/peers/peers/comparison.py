"""One comparison: one model of one batch, one number of threads, by convlab and by other engines."""

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from . import workers
from .contest import LIMITS, OWN_LIMIT, Contest, Reference, limit, place
from .engines import ENGINES, REFERENCE
from .records import Record, other_record
from .rewrite import depth
from .sources import SEED
from .turns import Worker

# Convlab's own chooser, as its record calls it.
OWN = "auto"

# Processor time over the time of its turns, of the engine that used most of it, for each thread: if even that got less,
# others used the machine meanwhile.
BUSY_LIMIT = 0.9

# What other engines' records share with convlab's.
SHARED = ("kind", "name", "isa", "batch", "threads", "commit", "rustc", "cpu", "date")


class ComparisonError(Exception):
    """A comparison that is worth nothing: without model, convlab or ONNX Runtime, or on a busy machine."""


class Comparison(NamedTuple):
    """What is compared."""

    # As all engines but ncnn take it: its batch is stated.
    model: Path
    threads: int
    # Names of `ENGINES`. ONNX Runtime is among them in any case.
    engines: list[str]

    def measure(self, seconds: float) -> list[Record]:
        """Runs every engine, in turns for about `seconds`."""
        graph = onnx.load(self.model, load_external_data=False).graph
        layers = depth(graph)
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            images = folder / "images.npy"
            np.save(images, noise(graph))
            # What all are held against is first.
            output = place(folder, REFERENCE, "npy")
            reference = Reference("ONNX Runtime's", "max_peer_difference", lambda: np.load(output))
            with Contest(folder, self.threads, reference) as contest:
                for name in (REFERENCE, *(name for name in self.engines if name != REFERENCE)):
                    most = limit(LIMITS[ENGINES[name].precision], layers)
                    contest.enter(name, workers.python(name, self.model, images, self.threads), most)
                contest.enter(OWN, workers.own(OWN, self.model, images, self.threads), limit(OWN_LIMIT, layers))
                contest.take_turns(seconds)
                results = contest.results()
        for name in (OWN, REFERENCE):
            if name in contest.failures:
                raise ComparisonError(f"{name}: {contest.failures[name]}")
        self._check_idle([contest.workers[name] for name in results])
        return self._records(results, contest.failures)

    def _check_idle(self, finished: list[Worker]) -> None:
        """Refuses a comparison during which the machine had something else to do."""
        busiest = max(worker.threads_used() for worker in finished)
        if busiest < BUSY_LIMIT * self.threads:
            raise ComparisonError(f"the machine is busy: no engine got more than {busiest:.2f} threads")

    def _records(self, results: dict[str, Record], failures: dict[str, str]) -> list[Record]:
        """A record for each participant, convlab's first."""
        own = results[OWN]
        flops = own["gflops_effective"] * own["median_ns"]
        base = {field: own[field] for field in SHARED} | {"model": "run", "cache": "warm", "clock": "peers"}
        names = sorted({REFERENCE, *self.engines}, key=list(ENGINES).index)
        return [own | base, *(other_record(base, name, results, failures, flops) for name in names)]


def noise(graph: onnx.GraphProto) -> np.ndarray:
    """Images for a model, as many as its batch: uniform, of mean 0 and variance 1."""
    shape = [size.dim_value for size in graph.input[0].type.tensor_type.shape.dim]
    return np.random.default_rng(SEED).uniform(-(3**0.5), 3**0.5, shape).astype(np.float32)
