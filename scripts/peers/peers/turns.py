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
from typing import IO, Any, cast

# As in `convlab bench`: so many samples, or as many as the time allows, but at least so few.
MAX_ROUNDS = 41
MIN_ROUNDS = 5

# A sample is the mean of as many runs as fill a millisecond.
SAMPLE_NS = 1_000_000


class WorkerError(Exception):
    """An engine that did not do what it was asked."""


class Worker:
    """One engine's process. It is stopped except within its own methods."""

    def __init__(self, command: list[str], log: Path) -> None:
        """Starts it and waits until it has computed once. What it says on standard error goes to `log`."""
        self.samples: list[float] = []
        # Of a sample.
        self.runs = 1
        self._awake_seconds = 0.0
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
        self._busy_before = self._busy_seconds()
        self._waited_before = self._waited_seconds()

    def calibrate(self) -> None:
        """Finds out how many runs fill a sample: until so many did, the fastest of three times."""
        while (taken := min(self._run() for _ in range(3))) * self.runs < SAMPLE_NS:
            self.runs = min(ceil(1.1 * SAMPLE_NS / taken), 10 * self.runs)

    def sample(self) -> None:
        """Wakes it up for the runs of one sample, of which it keeps the mean."""
        self.samples.append(self._run())

    def _run(self) -> float:
        begin = monotonic()
        self._process.send_signal(signal.SIGCONT)
        self._stdin.write(f"{self.runs}\n")
        taken = int(self._read())
        self._stop()
        self._awake_seconds += monotonic() - begin
        return taken / self.runs

    def threads_used(self) -> float:
        """Processor time over the time of its turns."""
        return (self._busy_seconds() - self._busy_before) / self._awake_seconds

    def waited(self) -> float:
        """Time that its threads were ready to run, but could not, over the time of its turns."""
        return (self._waited_seconds() - self._waited_before) / self._awake_seconds

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
        self._process.kill()
        self._process.wait()

    def _stop(self) -> None:
        self._process.send_signal(signal.SIGSTOP)
        # Until all of its threads stand still.
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def _busy_seconds(self) -> float:
        # After the name, which may contain blanks: the 12th and 13th are ticks in user and system mode.
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _waited_seconds(self) -> float:
        # The second of three numbers, in nanoseconds.
        tasks = Path(f"/proc/{self._process.pid}/task").iterdir()
        return sum(int((task / "schedstat").read_text().split()[1]) for task in tasks) * 1e-9

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
