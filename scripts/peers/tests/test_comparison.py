"""Limits: which differences from ONNX Runtime are rounding, and which are another result."""

import tempfile
import unittest
from pathlib import Path

import numpy as np

from peers.comparison import LIMITS, OWN, OWN_LIMIT, _difference, _place, _verify, limit, relative_difference
from peers.engines import ENGINES, REFERENCE
from peers.turns import WorkerError


class Difference(unittest.TestCase):
    def test_is_over_the_largest_of_the_reference(self) -> None:
        reference = np.array([[0.25, 0.5], [0.125, 0.0]])
        self.assertEqual(relative_difference(reference + np.array([[0, 0], [0, 0.125]]), reference), 0.25)
        self.assertEqual(relative_difference(reference - np.array([[0.25, 0], [0, 0]]), reference), 0.5)

    def test_signs_and_dimensions_of_one_do_not_count(self) -> None:
        reference = np.array([[[[0.5]], [[-2.0]]]])
        self.assertEqual(relative_difference(np.array([[0.5, -1.0]]), reference), 0.5)

    def test_another_shape_is_another_result(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            np.save(_place(Path(folder), REFERENCE, "npy"), np.ones((2, 3)))
            np.save(_place(Path(folder), OWN, "npy"), np.ones((1, 3)))
            with self.assertRaisesRegex(WorkerError, r"shape \(1, 3\)"):
                _difference(OWN, Path(folder))


class Limits(unittest.TestCase):
    def _verify(self, name: str, difference: float, layers: int = 1) -> None:
        reference = np.array([[0.5, 0.25]])
        with tempfile.TemporaryDirectory() as folder:
            np.save(_place(Path(folder), REFERENCE, "npy"), reference)
            np.save(_place(Path(folder), name, "npy"), reference + np.array([[0.0, 0.5 * difference]]))
            _verify(name, Path(folder), layers)

    def test_each_has_its_own(self) -> None:
        limits = {OWN: OWN_LIMIT} | {name: LIMITS[engine.precision] for name, engine in ENGINES.items()}
        del limits[REFERENCE]
        for name, most in limits.items():
            with self.subTest(name):
                self._verify(name, 0.9 * most)
                with self.assertRaisesRegex(WorkerError, "output differs"):
                    self._verify(name, 1.1 * most)
                with self.assertRaises(WorkerError):
                    self._verify(name, np.nan)

    def test_they_grow_as_independent_errors(self) -> None:
        self.assertEqual([limit(1e-5, layers) for layers in (0, 1, 4, 100)], [1e-5, 1e-5, 2e-5, 1e-4])
        self._verify(OWN, 2.9 * OWN_LIMIT, layers=9)
        with self.assertRaises(WorkerError):
            self._verify(OWN, 3.1 * OWN_LIMIT, layers=9)
