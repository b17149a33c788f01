"""Whole graphs in f64, and what is refused."""

import unittest
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from peers.exact import Graph, InexactError, exact
from peers.nodes import OPERATORS, _array, cases, with_constants

FLOAT = TensorProto.FLOAT

# Not representable in 32 bits.
IMAGES = np.random.default_rng(1).standard_normal((3, 2, 4, 5))


def model(*nodes: onnx.NodeProto, opset: int = 21, **constants: np.ndarray) -> onnx.ModelProto:
    """A model for one image that reads `x` and writes `y`."""
    [before] = [helper.make_tensor_value_info("x", FLOAT, [1, *IMAGES.shape[1:]])]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "graph", [before], [helper.make_empty_tensor_value_info("y")], tensors)
    graph.output[0].type.tensor_type.elem_type = FLOAT
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])


def node(operator: str, inputs: str, outputs: str = "y", **said: Any) -> onnx.NodeProto:  # noqa: ANN401
    return helper.make_node(operator, inputs.split(), outputs.split(), name=f"the {operator}", **said)


class Graphs(unittest.TestCase):
    def test_constants_and_types_of_every_kind_are_of_64_bits(self) -> None:
        third = np.float32(1 / 3)
        nodes = [
            node("Constant", "", "a", value_float=float(third)),
            node("Constant", "", "b", value=numpy_helper.from_array(third.reshape(1))),
            node("Constant", "", "shape", value_ints=[1]),
            node("ConstantOfShape", "shape", "zero"),
            node("Cast", "shape", "one", to=FLOAT),
            node("Sum", "x a b c zero one"),
        ]
        result = exact(model(*nodes, c=np.array(third)), IMAGES)
        self.assertLess(np.abs(result - (IMAGES + 3 * np.float64(third) + 1)).max(), 1e-15)

    def test_as_many_images_as_there_are(self) -> None:
        sizes = np.array([1, 40])
        flat = exact(model(node("Reshape", "x sizes"), sizes=sizes), IMAGES)
        self.assertTrue(np.array_equal(flat, IMAGES.reshape(3, 40)))
        # Without the images as its first dimension, all at once.
        turned = exact(model(node("Transpose", "x", perm=[3, 0, 1, 2])), IMAGES)
        self.assertTrue(np.array_equal(turned, IMAGES.transpose(3, 0, 1, 2)))

    def test_outputs_that_nobody_reads_do_not_matter(self) -> None:
        pool = node("MaxPool", "x", "y places", kernel_shape=[1, 1])
        self.assertTrue(np.array_equal(exact(model(pool), IMAGES), IMAGES))
        pool = node("MaxPool", "x", "values y", kernel_shape=[1, 1])
        with self.assertRaisesRegex(InexactError, "MaxPool 'the MaxPool'"):
            exact(model(pool), IMAGES)

    def test_functions_of_the_model_are_computed_by_the_same_operators(self) -> None:
        called = helper.make_node("Own", ["x"], ["y"], domain="own")
        body = [node("LRN", "i", "o", size=3)]
        opset = helper.make_opsetid("", 21)
        calling = model(called)
        calling.opset_import.append(helper.make_opsetid("own", 1))
        calling.functions.append(helper.make_function("own", "Own", ["i"], ["o"], body, [opset]))
        expected = exact(model(node("LRN", "x", size=3)), IMAGES)
        self.assertTrue(np.array_equal(exact(calling, IMAGES), expected))


class Refused(unittest.TestCase):
    def _refused(self, reason: str, *nodes: onnx.NodeProto, **constants: np.ndarray) -> None:
        with self.assertRaisesRegex(InexactError, reason):
            exact(model(*nodes, **constants), IMAGES)

    def test_by_the_name_of_the_node(self) -> None:
        half = node("Cast", "x", "h", to=TensorProto.FLOAT16)
        self._refused("Cast 'the Cast' is not computed in f64: it gives float16", half, node("Relu", "h"))
        self._refused("GridSample .*: it is computed in f32", node("GridSample", "x g"), g=np.zeros((1, 2, 2, 2)))
        self._refused("Nothing .*: No registered", node("Nothing", "x"))
        self._refused("Add .*: .*broadcast", node("Add", "x a"), a=np.ones(7, np.float32))
        branch = helper.make_graph([node("Relu", "x", "r")], "branch", [], [helper.make_empty_tensor_value_info("r")])
        self._refused("If .*: it has graphs", node("If", "c", then_branch=branch, else_branch=branch), c=np.array(True))


class Operators(unittest.TestCase):
    def test_all_that_convlab_computes_pass_their_tests_and_round_nothing(self) -> None:
        passed, precise = set(), set()
        for operator, case in cases(OPERATORS):
            inputs, [expected, *_] = ([_array(value) for value in values] for values in case.data_sets[0])
            if any(array is None or array.dtype != np.float32 for array in (inputs[0], expected)):
                continue
            try:
                graph = Graph(with_constants(case.model, inputs))
                result = graph.run(inputs[0])
            except InexactError:
                continue
            with self.subTest(case.name):
                self.assertEqual(result.shape, expected.shape)
                self.assertTrue(np.allclose(result, expected, case.rtol, 1e-6))
            passed.add(operator)
            # Of inputs that have more than 32 bits there are results that have.
            if operator not in precise:
                result = graph.run(inputs[0].astype(np.float64) * (1 + 1e-9))
                if np.any(result != result.astype(np.float32)):
                    precise.add(operator)
        # No test casts from f32 to f32.
        self.assertEqual(set(OPERATORS) - passed, {"Cast"})
        self.assertEqual(passed - precise, set())
