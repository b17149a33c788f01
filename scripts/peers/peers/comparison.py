"""One comparison: one model of one batch, one number of threads, by convlab and by other engines."""

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from .engines import ENGINES, REFERENCE
from .records import Record, statistics
from .rewrite import depth
from .sources import RELEASE, SEED
from .turns import Worker, WorkerError, take_turns

# Convlab's own chooser, as its record calls it.
OWN = "auto"

# Processor time over the time of its turns that an engine may take for each thread that it was told to use.
THREAD_LIMIT = 1.1

# The same, of the engine that used most of it: if even that got less, others used the machine meanwhile.
BUSY_LIMIT = 0.9

# The largest difference from ONNX Runtime's output, over the largest of its values, of a model of one layer: what convlab
# promises, and what can be an engine's rounding. Beyond it, an engine computes something else.
OWN_LIMIT = 1e-5
LIMITS = {"f32": 1e-3, "bf16": 1e-1}

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
        workers: dict[str, Worker] = {}
        failures: dict[str, str] = {}
        with tempfile.TemporaryDirectory() as temporary, ExitStack() as running:
            folder = Path(temporary)
            np.save(folder / "images.npy", noise(graph))
            # What all are held against is first.
            for name in (REFERENCE, *(name for name in self.engines if name != REFERENCE), OWN):
                try:
                    worker = Worker(self._command(name, folder), _place(folder, name, "log"))
                    running.callback(worker.kill)
                    _verify(name, folder, layers)
                    workers[name] = worker
                except WorkerError as error:
                    failures[name] = str(error)
            failures |= take_turns(workers, seconds, SEED)
            finished = {name: worker for name, worker in workers.items() if name not in failures}
            self._check_idle(finished)
            results: dict[str, Record] = {}
            for name, worker in finished.items():
                try:
                    results[name] = self._result(name, worker, folder)
                except WorkerError as error:
                    failures[name] = str(error)
        for name in (OWN, REFERENCE):
            if name in failures:
                raise ComparisonError(f"{name}: {failures[name]}")
        return self._records(results, failures)

    def _command(self, name: str, folder: Path) -> list[str]:
        """Starts the worker of one engine, on a model in the engine's own format."""
        images, output = str(folder / "images.npy"), str(_place(folder, name, "npy"))
        threads = ["--threads", str(self.threads)]
        if name == OWN:
            return [str(RELEASE / "examples/peer"), str(self.model), images, output, *threads]
        python = [sys.executable, "-m"]
        convert = [*python, "peers.convert", name, str(self.model), str(folder)]
        converted = subprocess.run(convert, check=False, capture_output=True, text=True)
        if converted.returncode != 0:
            said = converted.stderr.strip().splitlines()
            raise WorkerError(said[-1] if said else f"its converter ended with code {converted.returncode}")
        return [*python, "peers.worker", name, converted.stdout.strip(), images, output, *threads]

    def _check_idle(self, workers: dict[str, Worker]) -> None:
        """Refuses a comparison during which the machine had something else to do."""
        busiest = max((worker.threads_used() for worker in workers.values()), default=self.threads)
        if busiest < BUSY_LIMIT * self.threads:
            raise ComparisonError(f"the machine is busy: no engine got more than {busiest:.2f} threads")

    def _result(self, name: str, worker: Worker, folder: Path) -> Record:
        """What a worker knows of itself and what was seen of it."""
        used = worker.threads_used()
        if used > THREAD_LIMIT * self.threads:
            raise WorkerError(f"it used {used:.1f} threads, not {self.threads}")
        seen = {
            **statistics(worker.samples),
            "peak_resident_bytes": worker.peak_resident_bytes(),
            "max_peer_difference": _difference(name, folder),
        }
        print(f"  {name:20}{seen['median_ns'] * 1e-6:9.2f} ms{used:6.2f} threads used", file=sys.stderr)
        return worker.finish() | seen

    def _records(self, results: dict[str, Record], failures: dict[str, str]) -> list[Record]:
        """A record for each participant, convlab's first."""
        own = results[OWN]
        flops = own["gflops_effective"] * own["median_ns"]
        base = {field: own[field] for field in SHARED} | {"model": "run", "cache": "warm", "clock": "peers"}
        records = [own | base]
        for name in sorted({REFERENCE, *self.engines}, key=list(ENGINES).index):
            record = base | {"algorithm": name}
            if name in failures:
                print(f"  {name} failed: {failures[name]}", file=sys.stderr)
                records.append(record | {"failure": failures[name]})
            else:
                rate = {"gflops_effective": flops / results[name]["median_ns"]}
                records.append(record | results[name] | rate)
        return records


def noise(graph: onnx.GraphProto) -> np.ndarray:
    """Images for a model, as many as its batch: uniform, of mean 0 and variance 1."""
    shape = [size.dim_value for size in graph.input[0].type.tensor_type.shape.dim]
    return np.random.default_rng(SEED).uniform(-(3**0.5), 3**0.5, shape).astype(np.float32)


def relative_difference(output: np.ndarray, reference: np.ndarray) -> float:
    """The largest difference, over the largest value of the reference; all elements count, in whatever dimensions."""
    return float(np.abs(output.reshape(reference.shape) - reference).max() / np.abs(reference).max())


def limit(of_one: float, layers: int) -> float:
    """The limit of a model with so many layers one after another: their errors add up as independent ones do."""
    return of_one * max(layers, 1) ** 0.5


def _verify(name: str, folder: Path, layers: int) -> None:
    """Refuses an engine whose output is not ONNX Runtime's."""
    most = limit(OWN_LIMIT if name == OWN else LIMITS[ENGINES[name].precision], layers)
    difference = _difference(name, folder)
    # NaN is no difference within a limit either.
    if not difference <= most:
        raise WorkerError(f"its output differs from ONNX Runtime's by {difference:.1e}; the limit is {most:.1e}")


def _difference(name: str, folder: Path) -> float:
    output, reference = (np.load(_place(folder, who, "npy")) for who in (name, REFERENCE))
    if output.size != reference.size:
        raise WorkerError(f"its output has the shape {output.shape}, ONNX Runtime's {reference.shape}")
    return relative_difference(output, reference)


def _place(folder: Path, name: str, ending: str) -> Path:
    return folder / f"{name.replace('/', '-')}.{ending}"
