"""One comparison: one model of one batch, one number of threads, by convlab and by other engines."""

import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import NamedTuple, Self

import numpy as np
import onnx

from . import workers
from .contest import LIMITS, OWN_LIMIT, Contest, Reference, limit, place
from .engines import ENGINES, ONNX_RUNTIME
from .records import Record, other_record
from .rewrite import depth
from .sources import SEED
from .turns import Worker, WorkerError

# Convlab's own chooser, as its record calls it.
OWN = "auto"

# Processor time over the time of its turns, of the engine that used most of it, for each thread: if even that got less,
# others used the machine meanwhile.
BUSY_LIMIT = 0.9

# What other engines' records share with convlab's.
SHARED = ("kind", "name", "isa", "batch", "threads", "commit", "rustc", "cpu", "date")


class ComparisonError(Exception):
    """A comparison that is worth nothing: without model, convlab or what it is held against, or on a busy machine."""


class Subject(NamedTuple):
    """What a comparison is of: a model, its images, and what comes of them."""

    # As all engines but ncnn take it: its batch is stated.
    model: Path
    images: Path
    # None if a node of it is not computed in f64.
    exact: Path | None

    @classmethod
    def of(cls, model: Path) -> Self:
        """Draws images and computes the exact output, all in the model's folder."""
        images, exact = model.with_name("images.npy"), model.with_name("exact.npy")
        np.save(images, noise(onnx.load(model, load_external_data=False).graph))
        begin = monotonic()
        try:
            workers.exact(model, images, exact)
        except WorkerError as error:
            print(f"peers: {model.stem}: {error}; held against ONNX Runtime's output instead", file=sys.stderr)
            return cls(model, images, None)
        print(f"{model.stem}: computed in f64 in {monotonic() - begin:.1f} s", file=sys.stderr)
        return cls(model, images, exact)


class Comparison(NamedTuple):
    """What is compared."""

    subject: Subject
    threads: int
    # Names of `ENGINES`.
    engines: list[str]
    # Convlab's instruction set, if not the best.
    isa: str | None = None

    def measure(self, seconds: float) -> list[Record]:
        """Runs every engine, in turns for about `seconds`."""
        model, images, exact = self.subject
        layers = depth(onnx.load(model, load_external_data=False).graph)
        # What others are held against is first.
        first = [ONNX_RUNTIME] if exact is None else []
        engines = [*first, *(name for name in self.engines if name not in first)]
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            output = place(folder, ONNX_RUNTIME, "npy")
            instead = Reference(output, whose="ONNX Runtime's", field="max_peer_difference")
            with Contest(folder, self.threads, Reference(exact) if exact else instead) as contest:
                for name in engines:
                    most = limit(LIMITS[ENGINES[name].precision], layers)
                    contest.enter(name, workers.python(name, model, images, self.threads), most)
                contest.enter(OWN, workers.own(OWN, model, images, self.threads, self.isa), limit(OWN_LIMIT, layers))
                contest.take_turns(seconds)
                results = contest.results()
        for name in (OWN, *first):
            if name in contest.failures:
                raise ComparisonError(f"{name}: {contest.failures[name]}")
        self._check_idle([contest.workers[name] for name in results])
        return self._records(engines, results, contest.failures)

    def _check_idle(self, finished: list[Worker]) -> None:
        """Refuses a comparison during which the machine had something else to do."""
        busiest = max(worker.threads_used() for worker in finished)
        if busiest < BUSY_LIMIT * self.threads:
            raise ComparisonError(f"the machine is busy: no engine got more than {busiest:.2f} threads")

    def _records(self, engines: list[str], results: dict[str, Record], failures: dict[str, str]) -> list[Record]:
        """A record for each participant, convlab's first."""
        own = results[OWN]
        flops = own["gflops_effective"] * own["median_ns"]
        base = {field: own[field] for field in SHARED} | {"model": "run", "cache": "warm", "clock": "peers"}
        names = sorted(engines, key=list(ENGINES).index)
        return [own | base, *(other_record(base, name, results, failures, flops) for name in names)]


def noise(graph: onnx.GraphProto) -> np.ndarray:
    """Images for a model, as many as its batch: uniform, of mean 0 and variance 1."""
    shape = [size.dim_value for size in graph.input[0].type.tensor_type.shape.dim]
    return np.random.default_rng(SEED).uniform(-(3**0.5), 3**0.5, shape).astype(np.float32)
