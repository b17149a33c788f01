"""Limits: which differences are rounding, and which are another result."""

import tempfile
import unittest
from pathlib import Path

import numpy as np

from peers.contest import LIMITS, OWN_LIMIT, Contest, Reference, limit, relative_difference
from peers.turns import WorkerError

EXACT = np.array([[0.5, 0.25]])


def verified(output: np.ndarray, most: float) -> float:
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "output.npy"
        np.save(file, output)
        contest = Contest(Path(temporary), 1, Reference("the exact one", "max_rel_error", lambda: EXACT))
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
