"""Descriptors, and the files that are made of them."""

import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnx

from peers.problems import drawn, parse, write
from peers.windows import Axis


class Descriptors(unittest.TestCase):
    def test_what_is_not_said_of_the_width_is_as_of_the_height(self) -> None:
        problem = parse("paper/conv2", "g2mb16ic96ih27oc256oh27kh5ph2", ["direct"])
        axis = Axis(input=27, output=27, kernel=5, stride=1, before=2, after=2, dilation=1)
        self.assertEqual(problem.axes, (axis, axis))
        self.assertEqual((problem.name, problem.families), ("paper/conv2", ["direct"]))
        self.assertEqual(problem.input_shape(), [16, 96, 27, 27])
        self.assertEqual(problem.weights_shape(), [256, 48, 5, 5])
        self.assertEqual(problem.output_shape(), [16, 256, 27, 27])
        self.assertEqual(problem.flops(), 2 * 16 * 256 * 27 * 27 * 48 * 25)

    def test_width_stride_dilation_and_what_is_after_the_input(self) -> None:
        problem = parse("x", "mb1ic8ih75iw20oc4oh38ow16kh3kw3sh2sw1ph0pw0dh0dw1", [])
        down, across = problem.axes
        self.assertEqual(down, Axis(75, 38, 3, 2, 0, 2, 1))
        self.assertEqual(across, Axis(20, 16, 3, 1, 0, 0, 2))

    def test_an_end_of_the_input_that_nobody_reads_is_no_padding(self) -> None:
        self.assertEqual(parse("x", "mb1ic3ih10oc4oh4kh3sh2ph0", []).axes[0].after, 0)


class Files(unittest.TestCase):
    def test_the_model_has_the_shape_that_is_said_and_the_arrays_beside_it(self) -> None:
        problem = parse("x", "g2mb2ic4ih9iw8oc6oh5ow4kh3kw2sh2sw2ph1pw0dh0dw1", [])
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            data = drawn(problem)
            write(problem, data, folder)
            model = onnx.load(folder / "conv.onnx")
            onnx.checker.check_model(model, full_check=True)
            onnx.shape_inference.infer_shapes(model, strict_mode=True, check_type=True)
            sizes = dict(line.split() for line in (folder / "conv.txt").read_text().splitlines())
            self.assertTrue(np.array_equal(np.load(folder / "weights.npy"), data.weights))
        self.assertEqual([sizes[name] for name in ("g", "mb", "kw", "sh", "dw", "ph", "rh")], list("2222111"))
        self.assertEqual((data.images.min(), data.weights.shape, data.bias.shape), (0, (6, 2, 3, 2), (6,)))
