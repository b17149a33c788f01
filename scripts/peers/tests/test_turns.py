"""Turns: who is sampled when, and what becomes of those that fail."""

import os
import sys
import tempfile
import unittest
from pathlib import Path
from typing import cast

from peers.turns import LOSS_LIMIT, MAX_ROUNDS, MIN_ROUNDS, Turn, Worker, WorkerError, take_turns

NAMES = ["a", "b", "c", "d"]


class Fake:
    """Notes its turns in a list that all share; may fail at one of them."""

    def __init__(self, name: str, turns: list[str], fails_at: int | None = None) -> None:
        self._name = name
        self._turns = turns
        self._fails_at = fails_at

    def calibrate(self) -> None:
        pass

    def sample(self) -> None:
        self._turns.append(self._name)
        if self._turns.count(self._name) == self._fails_at:
            raise WorkerError("no more")


def turns_taken(seconds: float, seed: int, fails_at: int | None = None) -> tuple[list[str], dict[str, str]]:
    """Everyone's turns in order, and the failures; if any, `b` fails."""
    turns: list[str] = []
    fakes = {name: Fake(name, turns, fails_at if name == "b" else None) for name in NAMES}
    failures = take_turns(cast("dict[str, Worker]", fakes), seconds, seed)
    return turns, failures


class Turns(unittest.TestCase):
    def test_everyone_once_a_round_in_changing_order(self) -> None:
        turns, failures = turns_taken(60, seed=1)
        self.assertEqual((len(turns), failures), (MAX_ROUNDS * len(NAMES), {}))
        rounds = [tuple(turns[i : i + len(NAMES)]) for i in range(0, len(turns), len(NAMES))]
        self.assertTrue(all(sorted(order) == NAMES for order in rounds))
        self.assertGreater(len(set(rounds)), 10)
        self.assertEqual({order[0] for order in rounds}, set(NAMES), "everyone is first now and then")
        self.assertEqual(turns, turns_taken(60, seed=1)[0], "a seed is one order")
        self.assertNotEqual(turns, turns_taken(60, seed=2)[0])

    def test_some_rounds_whatever_they_take(self) -> None:
        self.assertEqual(len(turns_taken(0, seed=1)[0]), MIN_ROUNDS * len(NAMES))

    def test_who_fails_leaves(self) -> None:
        turns, failures = turns_taken(0, seed=1, fails_at=2)
        self.assertEqual(failures, {"b": "no more"})
        self.assertEqual([turns.count(name) for name in NAMES], [MIN_ROUNDS, 2, MIN_ROUNDS, MIN_ROUNDS])


class Samples(unittest.TestCase):
    def _worker(self, program: str, threads: int) -> Worker:
        folder = self.enterContext(tempfile.TemporaryDirectory())
        worker = Worker([sys.executable, "-c", program], Path(folder) / "log", threads)
        self.addCleanup(worker.kill)
        return worker

    def test_as_many_runs_as_fill_a_millisecond(self) -> None:
        # Answers what it is asked with that many times 20 microseconds.
        answers = (
            "import sys; print('ready', flush=True); [print(20_000 * int(line), flush=True) for line in sys.stdin]"
        )
        worker = self._worker(answers, 1)
        worker.calibrate()
        worker.sample()
        self.assertEqual([turn.nanoseconds for turn in worker.turns], [20_000.0])
        self.assertEqual(worker.runs, 55)

    def test_processor_time_and_waiting_for_it_are_seen(self) -> None:
        # Sleeps for a tenth of a second if it is asked for two runs, computes for as long if for one, beside another
        # process on the same processor.
        answers = """
import os, subprocess, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
print("ready", flush=True)
for line in sys.stdin:
    if int(line) == 2:
        time.sleep(0.1)
    else:
        other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        while time.process_time() < 0.3: pass
        other.kill()
    print(1, flush=True)
"""
        worker = self._worker(answers, 1)
        worker.runs = 2
        worker.sample()
        worker.runs = 1
        worker.sample()
        sleeping, computing = worker.turns
        self.assertLess(sleeping.ran, 0.05)
        self.assertGreater(sleeping.seconds, 0.1)
        self.assertGreater(computing.ran, 0.1)
        self.assertGreater(computing.waited, 0.1)
        self.assertEqual(worker.quiet(), [sleeping])


class Quiet(unittest.TestCase):
    def test_a_loss_is_what_threads_waited_for_and_could_have_had(self) -> None:
        def loss(ran: float, waited: float, threads: int) -> float:
            return Turn(1.0, 2.0, ran, waited).loss(threads)

        self.assertEqual(loss(2.0, 0.0, threads=1), 0)
        self.assertEqual(loss(1.5, 0.5, threads=1), 0.25)
        self.assertEqual(loss(3.0, 1.0, threads=2), 0.25)
        # One that slept, one that others of its own kept waiting.
        self.assertEqual(loss(0.5, 0.0, threads=1), 0)
        self.assertEqual(loss(2.0, 2.0, threads=1), 0)

    def test_five_turns_must_be_quiet(self) -> None:
        worker = Worker([sys.executable, "-c", "print('ready')"], Path(os.devnull), 1)
        self.addCleanup(worker.kill)
        quiet, loud = Turn(1.0, 1.0, 1 - LOSS_LIMIT / 2, 1.0), Turn(9.0, 1.0, 1 - 2 * LOSS_LIMIT, 1.0)
        worker.turns = [loud] + [quiet] * (MIN_ROUNDS - 1)
        self.assertTrue(worker.is_disturbed())
        worker.turns.append(quiet)
        self.assertFalse(worker.is_disturbed())
        self.assertEqual(worker.quiet(), [quiet] * MIN_ROUNDS)
        self.assertAlmostEqual(worker.threads_used(), quiet.ran)
