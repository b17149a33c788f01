"""Limits: which differences are rounding, and which are another result."""

import tempfile
import unittest
from pathlib import Path
from typing import cast
from unittest import mock

import numpy as np

from peers.contest import ATTEMPTS, LIMITS, OWN_LIMIT, PAUSE, Contest, Reference, limit, relative_difference
from peers.turns import Worker, WorkerError

EXACT = np.array([[0.5, 0.25]])


def verified(output: np.ndarray, most: float) -> float:
    with tempfile.TemporaryDirectory() as temporary:
        file, reference = (Path(temporary) / name for name in ("output.npy", "exact.npy"))
        np.save(file, output)
        np.save(reference, EXACT)
        contest = Contest(Path(temporary), 1, Reference(reference))
        return contest._verified(file, most)


class Difference(unittest.TestCase):
    def test_is_over_the_largest_of_the_reference(self) -> None:
        reference = np.array([[0.25, 0.5], [0.125, 0.0]])
        self.assertEqual(relative_difference(reference + np.array([[0, 0], [0, 0.125]]), reference), 0.25)
        self.assertEqual(relative_difference(reference - np.array([[0.25, 0], [0, 0]]), reference), 0.5)

    def test_signs_and_dimensions_of_one_do_not_count(self) -> None:
        reference = np.array([[[[0.5]], [[-2.0]]]])
        self.assertEqual(relative_difference(np.array([[0.5, -1.0]]), reference), 0.5)

    def test_another_shape_is_another_result(self) -> None:
        with self.assertRaisesRegex(WorkerError, r"shape \(1, 3\), the exact one \(1, 2\)"):
            verified(np.ones((1, 3)), 1.0)


class Limits(unittest.TestCase):
    def test_beyond_them_is_another_result(self) -> None:
        for most in (OWN_LIMIT, *LIMITS.values()):
            with self.subTest(most):
                offset = np.array([[0.0, 0.5]])
                self.assertAlmostEqual(verified(EXACT + 0.9 * most * offset, most), 0.9 * most, places=9)
                with self.assertRaisesRegex(WorkerError, "differs from the exact one"):
                    verified(EXACT + 1.1 * most * offset, most)
                with self.assertRaises(WorkerError):
                    verified(EXACT * np.nan, most)

    def test_they_grow_as_independent_errors(self) -> None:
        self.assertEqual([limit(1e-5, layers) for layers in (0, 1, 4, 100)], [1e-5, 1e-5, 2e-5, 1e-4])


class Fake:
    """Is disturbed for as many times as it is said."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.turns = [None] * 7

    def is_disturbed(self) -> bool:
        return self.times > 0

    def quiet(self) -> list[None]:
        return [None] * 3


class Busy(unittest.TestCase):
    def _contest(self, **disturbed: int) -> tuple[Contest, int, int]:
        """One that took samples, how often, and how many pauses there were."""
        contest = Contest(Path(), 1, Reference(Path()))
        contest.workers = cast("dict[str, Worker]", {name: Fake(times) for name, times in disturbed.items()})
        orders = []

        def take(workers: dict[str, Fake], seconds: float, seed: int) -> dict[str, str]:
            orders.append(seed)
            for worker in workers.values():
                worker.times -= 1
            return {"fails": "no more"} if "fails" in workers else {}

        with mock.patch("peers.contest.take_turns", take), mock.patch("peers.contest.sleep") as sleep:
            contest.take_turns(1.0)
        self.assertEqual(len(set(orders)), len(orders))
        self.assertEqual(sleep.call_args_list, [mock.call(PAUSE)] * sleep.call_count)
        return contest, len(orders), sleep.call_count

    def test_what_was_not_disturbed_is_not_repeated(self) -> None:
        self.assertEqual(self._contest(a=1, b=1, fails=99)[1:], (1, 0))
        self.assertEqual(self._contest(fails=99)[1:], (1, 0))

    def test_samples_are_taken_again_for_one_and_after_a_pause_for_all(self) -> None:
        self.assertEqual(self._contest(a=1, b=3)[1:], (3, 0))
        self.assertEqual(self._contest(a=2, b=3)[1:], (3, 1))

    def test_in_the_end_there_is_no_time(self) -> None:
        contest, *counts = self._contest(a=99, b=99)
        self.assertEqual(counts, [ATTEMPTS, ATTEMPTS - 1])
        self.assertEqual(contest.results(), {})
        waited = "its threads waited for processors in 4 of 7 turns"
        self.assertEqual(contest.failures, {"a": waited, "b": waited})
