"""Turns: who is sampled when, and what becomes of those that fail."""

import sys
import tempfile
import unittest
from pathlib import Path
from typing import cast

from peers.turns import MAX_ROUNDS, MIN_ROUNDS, Worker, WorkerError, take_turns

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
    def test_as_many_runs_as_fill_a_millisecond(self) -> None:
        # Answers what it is asked with that many times 20 microseconds.
        answers = (
            "import sys; print('ready', flush=True); [print(20_000 * int(line), flush=True) for line in sys.stdin]"
        )
        with tempfile.TemporaryDirectory() as folder:
            worker = Worker([sys.executable, "-c", answers], Path(folder) / "log")
            self.addCleanup(worker.kill)
            worker.calibrate()
            worker.sample()
            self.assertEqual(worker.samples, [20_000.0])
            self.assertEqual(worker.runs, 55)
            self.assertGreaterEqual(worker.waited(), 0)
