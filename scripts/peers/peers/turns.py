"""Processes that take turns: all but one are stopped, so that no idle thread pool spins on another's time."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from math import ceil
from pathlib import Path
from random import Random
from time import monotonic
from typing import IO, Any, NamedTuple, cast

# As in `convlab bench`: so many samples, or as many as the time allows, but at least so few.
MAX_ROUNDS = 41
MIN_ROUNDS = 5

# A sample is the mean of as many runs as fill a millisecond.
SAMPLE_NS = 1_000_000

# Processor time that threads may have waited for in a turn, over what they could have had. Turns hardly lie in between:
# undisturbed ones lose up to 0.05, and those in which a neighbour had its time slice from 0.15 on.
LOSS_LIMIT = 0.1


class WorkerError(Exception):
    """An engine that did not do what it was asked."""


class Turn(NamedTuple):
    """What was seen of one turn."""

    # The sample: of a run.
    nanoseconds: float
    # From waking up to standing still.
    seconds: float
    # Of all threads together: on a processor, and ready to be.
    ran: float
    waited: float

    def loss(self, threads: int) -> float:
        """Processor time that so many threads waited for, over what they could have had. If more of them wait, it is by
        their own doing."""
        possible = threads * self.seconds
        return min(self.waited, possible - self.ran) / possible


class Worker:
    """One engine's process. It is stopped except within its own methods."""

    def __init__(self, command: list[str], log: Path, threads: int) -> None:
        """Starts it and waits until it has computed once. What it says on standard error goes to `log`."""
        self.turns: list[Turn] = []
        # Of a sample.
        self.runs = 1
        self._threads = threads
        self._log = log
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, bufsize=1
            )
        self._stdin = cast("IO[str]", self._process.stdin)
        self._stdout = cast("IO[str]", self._process.stdout)
        try:
            self._read()
        except WorkerError:
            self.kill()
            raise
        self._stop()

    def calibrate(self) -> None:
        """Finds out how many runs fill a sample: until so many did, the fastest of three times."""
        while (taken := min(self._turn().nanoseconds for _ in range(3))) * self.runs < SAMPLE_NS:
            self.runs = min(ceil(1.1 * SAMPLE_NS / taken), 10 * self.runs)

    def sample(self) -> None:
        """Wakes it up for the runs of one sample, of which it keeps the mean."""
        self.turns.append(self._turn())

    def quiet(self) -> list[Turn]:
        """The turns in which its threads hardly waited."""
        return [turn for turn in self.turns if turn.loss(self._threads) <= LOSS_LIMIT]

    def is_disturbed(self) -> bool:
        """Whether it had too few quiet turns to be judged by."""
        return len(self.quiet()) < MIN_ROUNDS

    def threads_used(self) -> float:
        """Processor time over the time of its quiet turns."""
        return sum(turn.ran for turn in self.quiet()) / sum(turn.seconds for turn in self.quiet())

    def _turn(self) -> Turn:
        ran, waited = self._scheduled()
        begin = monotonic()
        self._process.send_signal(signal.SIGCONT)
        self._stdin.write(f"{self.runs}\n")
        taken = int(self._read())
        self._stop()
        seconds = monotonic() - begin
        ran_then, waited_then = self._scheduled()
        return Turn(taken / self.runs, seconds, ran_then - ran, waited_then - waited)

    def peak_resident_bytes(self) -> int:
        """The most memory that it ever had resident, model files that it maps included."""
        lines = self._proc("status").splitlines()
        peak = next(line for line in lines if line.startswith("VmHWM:"))
        return int(peak.split()[1]) * 1024

    def finish(self) -> dict[str, Any]:
        """Ends it; the fields of a record that it knows itself."""
        self._process.send_signal(signal.SIGCONT)
        self._stdin.close()
        fields: dict[str, Any] = json.loads(self._read())
        return fields

    def kill(self) -> None:
        """Ends it whatever it is doing."""
        with self._process:
            self._process.kill()

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)
        # Until all of its threads stand still.
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def _scheduled(self) -> tuple[float, float]:
        """Seconds of all threads on a processor, and ready to be."""
        tasks = Path(f"/proc/{self._process.pid}/task").iterdir()
        nanoseconds = [map(int, (task / "schedstat").read_text().split()[:2]) for task in tasks]
        ran, waited = (sum(of_all) * 1e-9 for of_all in zip(*nanoseconds, strict=True))
        return ran, waited

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self._process.pid}/{name}").read_text()

    def _read(self) -> str:
        line = self._stdout.readline().strip()
        if not line:
            said = self._log.read_text(errors="replace").strip().splitlines()
            raise WorkerError(said[-1] if said else f"it ended with code {self._process.wait()}")
        return line


def take_turns(workers: dict[str, Worker], seconds: float, seed: int) -> dict[str, str]:
    """Lets every worker give one sample a round, in an order shuffled anew, for about `seconds`.

    Those that fail leave the rounds; returns why.
    """
    failures: dict[str, str] = {}

    def try_to(name: str, act: Callable[[], None]) -> None:
        try:
            act()
        except (WorkerError, OSError) as error:
            failures[name] = str(error)

    random = Random(seed)
    end = monotonic() + seconds
    for name, worker in workers.items():
        try_to(name, worker.calibrate)
    for finished in range(MAX_ROUNDS):
        if finished >= MIN_ROUNDS and monotonic() >= end:
            break
        order = [name for name in workers if name not in failures]
        random.shuffle(order)
        for name in order:
            try_to(name, workers[name].sample)
    return failures
