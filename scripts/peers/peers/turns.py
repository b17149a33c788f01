"""Processes that take turns: all but one are stopped, so that no idle thread pool spins on another's time."""

import json
import os
import signal
import subprocess
from pathlib import Path
from random import Random
from time import monotonic
from typing import IO, Any, cast

# As in `convlab bench`: so many samples, or as many as the time allows, but at least so few.
MAX_ROUNDS = 41
MIN_ROUNDS = 5


class WorkerError(Exception):
    """An engine that did not do what it was asked."""


class Worker:
    """One engine's process. It is stopped except within its own methods."""

    def __init__(self, command: list[str], log: Path) -> None:
        """Starts it and waits until it has computed once. What it says on standard error goes to `log`."""
        self.samples: list[int] = []
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

    def sample(self) -> None:
        """Wakes it up for one timed run."""
        begin = monotonic()
        self._process.send_signal(signal.SIGCONT)
        self._stdin.write("\n")
        self.samples.append(int(self._read()))
        self._stop()
        self._awake_seconds += monotonic() - begin

    def threads_used(self) -> float:
        """Processor time over the time of its turns."""
        return (self._busy_seconds() - self._busy_before) / self._awake_seconds

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
    random = Random(seed)
    end = monotonic() + seconds
    for finished in range(MAX_ROUNDS):
        if finished >= MIN_ROUNDS and monotonic() >= end:
            break
        order = [name for name in workers if name not in failures]
        random.shuffle(order)
        for name in order:
            try:
                workers[name].sample()
            except (WorkerError, OSError) as error:
                failures[name] = str(error)
    return failures
