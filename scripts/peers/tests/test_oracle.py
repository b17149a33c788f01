"""The exact result against its definition, and against ONNX's own reference."""

import tempfile
import unittest
from pathlib import Path
from unittest import mock

import numpy as np
from onnx.reference import ReferenceEvaluator

from peers import oracle
from peers.problems import INPUT, drawn, parse, write


class Exact(unittest.TestCase):
    def test_groups_strides_dilations_and_uneven_sizes(self) -> None:
        for descriptor in (
            "mb2ic3ih7iw6oc4oh7ow6kh3kw3ph1pw1",
            "g2mb1ic4ih9iw8oc6oh5ow4kh3kw2sh2sw2ph1pw0dh0dw1",
            "g8mb1ic8ih5oc8oh5kh3ph1",
            "mb1ic5ih1oc3oh1kh1ph0",
        ):
            problem = parse("x", descriptor, [])
            data = drawn(problem)
            with self.subTest(descriptor), tempfile.TemporaryDirectory() as folder:
                write(problem, data, Path(folder))
                [expected] = ReferenceEvaluator(str(Path(folder) / "conv.onnx")).run(None, {INPUT: data.images})
                result = oracle.exact(problem, data)
                self.assertEqual((result.dtype, result.shape), (np.float64, expected.shape))
                self.assertLess(np.abs(result - expected).max(), 1e-6)
                # Row by row it is the same.
                with mock.patch.object(oracle, "COLUMNS", 1):
                    self.assertLess(np.abs(oracle.exact(problem, data) - result).max(), 1e-14)

    def test_one_window_by_hand(self) -> None:
        problem = parse("x", "mb1ic2ih3oc1oh2kh2ph0", [])
        data = drawn(problem)
        window = data.images[0, :, 1:3, 0:2].astype(np.float64)
        expected = (window * data.weights[0].astype(np.float64)).sum() + np.float64(data.bias[0])
        self.assertAlmostEqual(oracle.exact(problem, data)[0, 0, 1, 0], expected, places=14)
