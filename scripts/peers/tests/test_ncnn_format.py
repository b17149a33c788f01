"""The two files of ncnn: layers and parameters in the one, weights in the order of the layers in the other."""

import tempfile
import unittest
from pathlib import Path

import numpy as np
import onnx

from peers.chains import CLASSES, Chain
from peers.engines.ncnn_format import _linear, _window, write_model


def written(folder: str) -> tuple[list[str], np.ndarray, Path]:
    """Lines of the one file, floats of the other, and the model."""
    chain = Chain("small", (3, 9, 7), seed=1)
    chain.conv(8, (3, 3), strides=[2, 2], pads=[1] * 4, kernel_shape=[3, 3]).node("Relu")
    chain.node("LRN", size=5, alpha=0.5, beta=0.75, bias=2.0)
    chain.conv(4, (3, 3), kernel_shape=[3, 3], pads=[1] * 4, group=2)
    chain.node("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    chain.node("Dropout").node("Flatten")
    chain.node("Gemm", chain.weights((CLASSES, 4 * 2 * 2), 16), chain.normal(CLASSES), transB=1)
    model = chain.node("Softmax").write(Path(folder), 1, 9)
    parameters = write_model(model, Path(folder))
    return parameters.read_text().splitlines(), np.fromfile(parameters.with_suffix(".bin"), "<f4"), model


class Format(unittest.TestCase):
    def test_a_small_chain(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            lines, floats, model = written(folder)
            self.assertEqual(
                lines,
                [
                    "7767517",
                    "8 8",
                    "Input in 0 1 input 0=7 1=9 2=3",
                    "Convolution layer0 1 1 input blob1 0=8 1=3 3=2 4=1 5=1 6=216 9=1",
                    "LRN layer1 1 1 blob1 blob2 0=0 1=5 2=0.5 3=0.75 4=2.0",
                    "ConvolutionDepthWise layer2 1 1 blob2 blob3 0=4 1=3 3=1 4=1 5=1 6=144 7=2 9=0",
                    "Pooling layer3 1 1 blob3 blob4 0=0 1=2 2=2 3=0 5=1",
                    "Flatten layer4 1 1 blob4 blob5 ",
                    f"InnerProduct layer5 1 1 blob5 blob6 0={CLASSES} 1=1 2={16 * CLASSES} 9=0",
                    "Softmax layer6 1 1 blob6 output 0=0 1=1",
                ],
            )
            constants = [onnx.numpy_helper.to_array(tensor).ravel() for tensor in onnx.load(model).graph.initializer]
            expected: list[np.ndarray] = []
            for weights, bias in zip(constants[::2], constants[1::2], strict=True):
                expected += [np.zeros(1, np.float32), weights, bias]
            np.testing.assert_array_equal(floats, np.concatenate(expected))

    def test_what_ncnn_would_compute_otherwise_is_refused(self) -> None:
        plain = {"kernel_shape": [3, 3]}
        self.assertEqual(_window(plain | {"strides": [2, 2], "pads": [1] * 4}), (3, 2, 1))
        for other in (
            {"kernel_shape": [3, 5]},
            {"strides": [1, 2]},
            {"pads": [0, 0, 1, 1]},
            {"dilations": [2, 2]},
            {"ceil_mode": 1},
        ):
            with self.subTest(other), self.assertRaisesRegex(ValueError, "not square, dense and padded alike"):
                _window(plain | other)
        with self.assertRaisesRegex(ValueError, "without transB"):
            _linear(np.zeros((2, 3)), {})
