"""The operators in f64 against those of ONNX's reference evaluator, and against definitions where that is wrong."""

import unittest

import numpy as np
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from peers.operators import OPERATORS, Attribute

OPSET = 22


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).standard_normal(shape)


def node(operator: str, *arrays: np.ndarray, ours: bool, opset: int = OPSET, **said: Attribute) -> np.ndarray:
    """What an operator makes of `arrays`."""
    names = [f"x{i}" for i in range(len(arrays))]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.DOUBLE, array.shape)
        for name, array in zip(names, arrays, strict=True)
    ]
    outputs = [helper.make_empty_tensor_value_info("y")]
    graph = helper.make_graph([helper.make_node(operator, names, ["y"], **said)], "graph", inputs, outputs)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    evaluator = ReferenceEvaluator(model, new_ops=OPERATORS if ours else None)
    [result] = evaluator.run(None, dict(zip(names, arrays, strict=True)))
    return result


class AsTheReference(unittest.TestCase):
    def _same(self, operator: str, *arrays: np.ndarray, **said: Attribute) -> None:
        with self.subTest(operator, shape=arrays[0].shape, **said):
            expected = node(operator, *arrays, ours=False, **said)
            result = node(operator, *arrays, ours=True, **said)
            self.assertEqual((result.dtype, result.shape), (np.float64, expected.shape))
            self.assertLess(np.abs(result - expected).max(), 1e-13)

    def test_convolutions(self) -> None:
        images, bias = drawn(2, 6, 11, 8), drawn(4)
        self._same("Conv", images, drawn(4, 6, 3, 3))
        self._same("Conv", images, drawn(4, 6, 3, 2), bias, strides=[2, 3], pads=[1, 0, 2, 1])
        self._same("Conv", images, drawn(4, 3, 3, 3), bias, group=2, dilations=[2, 3], pads=[2, 3, 2, 3])
        self._same("Conv", images, drawn(12, 1, 3, 3), group=6, pads=[1] * 4)
        for auto_pad in ("SAME_UPPER", "SAME_LOWER", "VALID"):
            self._same("Conv", images, drawn(4, 6, 4, 3), bias, auto_pad=auto_pad, strides=[2, 1])
        self._same("Conv", drawn(2, 3, 17), drawn(4, 3, 5), bias, strides=[2], pads=[2, 1])
        self._same("Conv", drawn(1, 2, 5, 6, 7), drawn(4, 2, 3, 2, 3), bias, pads=[1] * 6)

    def test_pools(self) -> None:
        images = drawn(2, 3, 11, 8)
        pads = {"pads": [1, 0, 1, 1]}
        for operator, said in (
            ("MaxPool", {}),
            ("AveragePool", {"count_include_pad": 0}),
            ("AveragePool", {"count_include_pad": 1}),
        ):
            self._same(operator, images, kernel_shape=[2, 3], **said)
            self._same(operator, images, kernel_shape=[3, 2], strides=[2, 3], **said)
            self._same(operator, images, kernel_shape=[3, 2], strides=[2, 3], **pads, **said)
            # Down a window is added, across it would begin in the padding.
            self._same(operator, images, kernel_shape=[2, 3], strides=[2, 3], ceil_mode=1, **pads, **said)
            self._same(operator, images, kernel_shape=[2, 2], dilations=[3, 2], strides=[1, 2], **pads, **said)
            for auto_pad in ("SAME_UPPER", "VALID"):
                self._same(operator, images, kernel_shape=[3, 2], strides=[2, 2], auto_pad=auto_pad, **said)
            self._same(operator, images, kernel_shape=[4, 2], auto_pad="SAME_LOWER", **said)
            self._same(operator, drawn(2, 3, 9), kernel_shape=[4], strides=[2], ceil_mode=1, **said)

    def test_transposed_convolutions(self) -> None:
        images, weights, bias = drawn(2, 4, 5, 4), drawn(4, 3, 3, 2), drawn(3)
        self._same("ConvTranspose", images, weights)
        self._same("ConvTranspose", images, weights, bias, strides=[2, 3], pads=[1, 0, 0, 1], output_padding=[1, 2])
        self._same("ConvTranspose", images, weights, dilations=[2, 3])
        self._same("ConvTranspose", images, weights, strides=[2, 2], auto_pad="SAME_UPPER")
        self._same("ConvTranspose", images, weights, strides=[2, 2], auto_pad="SAME_LOWER")
        self._same("ConvTranspose", drawn(2, 4, 5), drawn(4, 3, 3), bias, strides=[2])

    def test_normalisations_and_softmax(self) -> None:
        images = drawn(2, 3, 5, 4)
        constants = [drawn(3), drawn(3) + 1, drawn(3) - 1, drawn(3) ** 2]
        self._same("BatchNormalization", images, *constants, epsilon=0.01)
        self._same("BatchNormalization", drawn(7, 3), *constants)
        for axis in (0, 1, -1):
            self._same("Softmax", images, axis=axis)


class ByDefinition(unittest.TestCase):
    def test_transposed_convolutions_of_groups_are_the_adjoint(self) -> None:
        images, weights, said = drawn(1, 6, 9, 8), drawn(4, 3, 3, 2), {"group": 2, "strides": [2, 2]}
        across = drawn(1, 4, 4, 4)
        forward = node("Conv", images, weights, ours=True, **said)
        back = node("ConvTranspose", across, weights, ours=True, **said)
        self.assertEqual((forward.shape, back.shape), (across.shape, images.shape))
        self.assertAlmostEqual((forward * across).sum(), (images * back).sum(), places=12)

    def test_local_response_of_even_and_odd_sizes(self) -> None:
        images = drawn(2, 7, 3, 2)
        for size in (1, 2, 3, 4, 5, 9):
            sums = np.stack(
                [
                    (images[:, max(c - (size - 1) // 2, 0) : c + size // 2 + 1] ** 2).sum(1)
                    for c in range(images.shape[1])
                ],
                axis=1,
            )
            result = node("LRN", images, ours=True, size=size, alpha=0.5, beta=0.75, bias=2.0)
            self.assertLess(np.abs(result - images / (2 + 0.5 / size * sums) ** 0.75).max(), 1e-15)

    def test_old_normalisation_is_by_what_was_learnt(self) -> None:
        images, constants = drawn(2, 3, 5, 4), [drawn(3), drawn(3) + 1, drawn(3) - 1, drawn(3) ** 2]
        old, new = (node("BatchNormalization", images, *constants, ours=True, opset=opset) for opset in (9, OPSET))
        self.assertTrue(np.array_equal(old, new))

    def test_old_softmax_is_of_all_from_an_axis_on(self) -> None:
        images = drawn(2, 3, 5, 4)
        result = node("Softmax", images, ours=True, opset=11, axis=1)
        expected = node("Softmax", images.reshape(2, -1), ours=False, axis=1)
        self.assertLess(np.abs(result.reshape(2, -1) - expected).max(), 1e-16)

    def test_error_functions_are_no_floats_of_32_bits(self) -> None:
        one = np.ones((1, 1))
        self.assertAlmostEqual(node("Erf", one, ours=True)[0, 0], 0.8427007929497149, places=15)
        self.assertAlmostEqual(node("Gelu", one, ours=True)[0, 0], 0.8413447460685429, places=15)
        self.assertAlmostEqual(node("Gelu", one, ours=True, approximate="tanh")[0, 0], 0.8411919906082768, places=15)

    def test_what_is_not_computed_is_refused(self) -> None:
        images, constants = drawn(2, 3, 5, 4), [drawn(3)] * 4
        with self.assertRaisesRegex(NotImplementedError, "training"):
            node("BatchNormalization", images, *constants, ours=True, training_mode=1)
        with self.assertRaisesRegex(NotImplementedError, "larger"):
            node("ConvTranspose", images, drawn(3, 2, 3, 3), ours=True, output_shape=[9, 9])
