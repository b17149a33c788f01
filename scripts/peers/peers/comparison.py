"""One comparison: one network, batch and number of threads, by convlab and by every other engine."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from .engines import ENGINES, REFERENCE
from .records import Record, statistics
from .turns import Worker, WorkerError, take_turns

WORKSPACE = Path(__file__).resolve().parents[3]
RELEASE = WORKSPACE / "target/release"

# Convlab's own chooser, as its record calls it.
OWN = "auto"

# In the order in which they start: what all are held against is first.
PARTICIPANTS = (REFERENCE, *(name for name in ENGINES if name != REFERENCE), OWN)

# Of weights, images and the order of turns.
SEED = 1

# Processor time over the time of its turns that an engine may take for each thread that it was told to use.
THREAD_LIMIT = 1.1

# The same, of the engine that used most of it: if even that got less, others used the machine meanwhile.
BUSY_LIMIT = 0.9

# The largest difference from ONNX Runtime's probabilities, over the largest of them: what convlab promises, and what
# can be an engine's rounding. Beyond it, an engine computes something else.
OWN_LIMIT = 1e-5
LIMITS = {"f32": 1e-3, "bf16": 1e-1}

# What other engines' records share with convlab's.
SHARED = ("kind", "name", "isa", "batch", "threads", "commit", "rustc", "cpu", "date")


class ComparisonError(Exception):
    """A comparison that is worth nothing: without model, convlab or ONNX Runtime, or on a busy machine."""


class Comparison(NamedTuple):
    """What is compared."""

    network: str
    batch: int
    threads: int

    def measure(self, folder: Path, seconds: float) -> list[Record]:
        """Runs every engine, in turns for about `seconds`; models and outputs go to `folder`."""
        model = export(self.network, self.batch, folder)
        np.save(folder / "images.npy", noise(model))
        workers: dict[str, Worker] = {}
        failures: dict[str, str] = {}
        with ExitStack() as running:
            for name in PARTICIPANTS:
                try:
                    worker = Worker(self._command(name, model, folder), _place(folder, name, "log"))
                    running.callback(worker.kill)
                    _verify(name, folder)
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

    def _command(self, name: str, model: Path, folder: Path) -> list[str]:
        """Starts the worker of one engine, on a model in the engine's own format."""
        images, output = str(folder / "images.npy"), str(_place(folder, name, "npy"))
        threads = ["--threads", str(self.threads)]
        if name == OWN:
            return [str(RELEASE / "examples/peer"), self.network, images, output, *threads, "--seed", str(SEED)]
        python = [sys.executable, "-m"]
        convert = [*python, "peers.convert", name, str(model), str(folder)]
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
        for name in ENGINES:
            record = base | {"algorithm": name}
            if name in failures:
                print(f"  {name} failed: {failures[name]}", file=sys.stderr)
                records.append(record | {"failure": failures[name]})
            else:
                rate = {"gflops_effective": flops / results[name]["median_ns"]}
                records.append(record | results[name] | rate)
        return records


def export(network: str, batch: int, folder: Path) -> Path:
    """Writes convlab's own `network` with synthetic weights as an ONNX model for `batch` images."""
    model = folder / f"{network}.onnx"
    options = ["--network", network, "--seed", str(SEED), "--batch", str(batch), "--onnx", str(model)]
    exported = subprocess.run([str(RELEASE / "convlab"), "export", *options], check=False, stdout=subprocess.DEVNULL)
    if exported.returncode != 0:
        raise ComparisonError(f"convlab export ended with code {exported.returncode}")
    return model


def noise(model: Path) -> np.ndarray:
    """Images for `model`, as many as its batch: uniform, of mean 0 and variance 1."""
    graph = onnx.load(model, load_external_data=False).graph
    shape = [size.dim_value for size in graph.input[0].type.tensor_type.shape.dim]
    return np.random.default_rng(SEED).uniform(-(3**0.5), 3**0.5, shape).astype(np.float32)


def relative_difference(output: np.ndarray, reference: np.ndarray) -> float:
    """The largest difference, over the largest value of the reference."""
    return float(np.abs(output - reference).max() / reference.max())


def _verify(name: str, folder: Path) -> None:
    """Refuses an engine whose probabilities are not ONNX Runtime's."""
    limit = OWN_LIMIT if name == OWN else LIMITS[ENGINES[name].precision]
    difference = _difference(name, folder)
    # NaN is no difference within a limit either.
    if not difference <= limit:
        raise WorkerError(f"its probabilities differ from ONNX Runtime's by {difference:.1e}; the limit is {limit:.0e}")


def _difference(name: str, folder: Path) -> float:
    return relative_difference(*(np.load(_place(folder, who, "npy")) for who in (name, REFERENCE)))


def _place(folder: Path, name: str, ending: str) -> Path:
    return folder / f"{name.replace('/', '-')}.{ending}"
