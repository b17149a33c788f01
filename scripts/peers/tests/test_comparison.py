"""Limits: which differences from ONNX Runtime are rounding, and which are another result."""

import tempfile
import unittest
from pathlib import Path

import numpy as np

from peers.comparison import LIMITS, OWN, OWN_LIMIT, _place, _verify, relative_difference
from peers.engines import ENGINES, REFERENCE
from peers.turns import WorkerError


class Difference(unittest.TestCase):
    def test_is_over_the_largest_of_the_reference(self) -> None:
        reference = np.array([[0.25, 0.5], [0.125, 0.0]])
        self.assertEqual(relative_difference(reference + [[0, 0], [0, 0.125]], reference), 0.25)
        self.assertEqual(relative_difference(reference - [[0.25, 0], [0, 0]], reference), 0.5)


class Limits(unittest.TestCase):
    def _verify(self, name: str, difference: float) -> None:
        reference = np.array([[0.5, 0.25]])
        with tempfile.TemporaryDirectory() as folder:
            np.save(_place(Path(folder), REFERENCE, "npy"), reference)
            np.save(_place(Path(folder), name, "npy"), reference + [[0.0, 0.5 * difference]])
            _verify(name, Path(folder))

    def test_each_has_its_own(self) -> None:
        limits = {OWN: OWN_LIMIT} | {name: LIMITS[engine.precision] for name, engine in ENGINES.items()}
        del limits[REFERENCE]
        for name, limit in limits.items():
            with self.subTest(name):
                self._verify(name, 0.9 * limit)
                with self.assertRaisesRegex(WorkerError, "probabilities differ"):
                    self._verify(name, 1.1 * limit)
                with self.assertRaises(WorkerError):
                    self._verify(name, np.nan)
