"""Processes that compute the same, checked first and then timed in turns."""

import sys
from contextlib import ExitStack
from pathlib import Path
from time import sleep
from typing import NamedTuple, Self

import numpy as np

from .records import Record, statistics
from .sources import SEED
from .turns import Worker, WorkerError, take_turns
from .workers import Start

# Processor time over the time of its turns that an engine may take for each thread that it was told to use.
THREAD_LIMIT = 1.1

# The largest difference over the largest of the values, of a model of one layer: what convlab promises, and what can be an
# engine's rounding. Beyond it, an engine computes something else.
OWN_LIMIT = 1e-5
LIMITS = {"f32": 1e-3, "bf16": 2e-2}


# How often samples are taken while too few are quiet, and the pause in seconds if it was so for everyone.
ATTEMPTS = 3
PAUSE = 10


class Reference(NamedTuple):
    """What outputs are held against: a file, whose it is, and the record's field of the difference."""

    output: Path
    whose: str = "the exact one"
    field: str = "max_rel_error"


class Contest:
    """Processes are started, checked and stopped one by one, then take turns."""

    def __init__(self, folder: Path, threads: int, reference: Reference) -> None:
        self.workers: dict[str, Worker] = {}
        self.failures: dict[str, str] = {}
        self._differences: dict[str, float] = {}
        self._folder = folder
        self._threads = threads
        self._reference = reference
        self._running = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def enter(self, name: str, start: Start, most: float) -> None:
        """Starts a process; its output may differ by `most`."""
        output = place(self._folder, name, "npy")
        try:
            worker = Worker(start(output), place(self._folder, name, "log"), self._threads)
            self._running.callback(worker.kill)
            self._differences[name] = self._verified(output, most)
            self.workers[name] = worker
        except WorkerError as error:
            self.failures[name] = str(error)

    def take_turns(self, seconds: float) -> None:
        """Samples for about so long, and again while anyone is disturbed."""
        for attempt in range(ATTEMPTS):
            self.failures |= take_turns(self._present(), seconds, SEED + attempt)
            disturbed = [worker.is_disturbed() for worker in self._present().values()]
            if not any(disturbed):
                break
            if all(disturbed) and attempt + 1 < ATTEMPTS:
                print(f"  the machine is busy: once more in {PAUSE} s", file=sys.stderr)
                sleep(PAUSE)

    def _present(self) -> dict[str, Worker]:
        return {name: worker for name, worker in self.workers.items() if name not in self.failures}

    def results(self) -> dict[str, Record]:
        """What each that has not failed knows of itself and what was seen of it."""
        results: dict[str, Record] = {}
        for name, worker in self._present().items():
            try:
                results[name] = self._result(name, worker)
            except WorkerError as error:
                self.failures[name] = str(error)
        return results

    def _result(self, name: str, worker: Worker) -> Record:
        quiet, turns = worker.quiet(), len(worker.turns)
        if worker.is_disturbed():
            raise WorkerError(f"its threads waited for processors in {turns - len(quiet)} of {turns} turns")
        used = worker.threads_used()
        if used > THREAD_LIMIT * self._threads:
            raise WorkerError(f"it used {used:.1f} threads, not {self._threads}")
        seen = {
            **statistics([turn.nanoseconds for turn in quiet]),
            "peak_resident_bytes": worker.peak_resident_bytes(),
            self._reference.field: self._differences[name],
        }
        time = f"{seen['median_ns'] * 1e-6:9.3f} ms"
        print(f"  {name:20}{time}{used:6.2f} threads used, {len(quiet)} of {turns} turns quiet", file=sys.stderr)
        # Where the median of its own runs lies is not where that of these samples does.
        known = {field: value for field, value in worker.finish().items() if field != "interval_ns"}
        return known | seen

    def _verified(self, output: Path, most: float) -> float:
        """The difference of an output from the reference; refuses a large one."""
        computed, reference, whose = np.load(output), np.load(self._reference.output), self._reference.whose
        if computed.size != reference.size:
            raise WorkerError(f"its output has the shape {computed.shape}, {whose} {reference.shape}")
        difference = relative_difference(computed, reference)
        # NaN is no difference within a limit either.
        if not difference <= most:
            raise WorkerError(f"its output differs from {whose} by {difference:.1e}; the limit is {most:.1e}")
        return difference


def relative_difference(output: np.ndarray, reference: np.ndarray) -> float:
    """The largest difference, over the largest value of the reference; all elements count, in whatever dimensions."""
    return float(np.abs(output.reshape(reference.shape) - reference).max() / np.abs(reference).max())


def limit(of_one: float, layers: int) -> float:
    """The limit of a model with so many layers one after another: their errors add up as independent ones do."""
    return of_one * max(layers, 1) ** 0.5


def place(folder: Path, name: str, ending: str) -> Path:
    return folder / f"{name.replace('/', '-')}.{ending}"
