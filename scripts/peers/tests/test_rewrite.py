"""Models of a batch, and their depth."""

import unittest

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from peers.rewrite import ModelError, depth, fix

Dims = list[int | str]


def model(
    nodes: list[onnx.NodeProto], dims: Dims, constants: dict[str, np.ndarray], outputs: int = 1
) -> onnx.ModelProto:
    """From `x` of `dims` to `y`, `y1`, ..., whose shapes are stated as one number."""
    floats = TensorProto.FLOAT
    names = ["y", *(f"y{index}" for index in range(1, outputs))]
    after = [helper.make_tensor_value_info(name, floats, [1, 7]) for name in names]
    # As old models do: a constant is an input, too.
    before = [helper.make_tensor_value_info("x", floats, dims)]
    before += [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in constants.items()
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "model", before, after, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=3)


def sizes(value: onnx.ValueInfoProto) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def target(made: onnx.ModelProto, node: int) -> list[int]:
    """Where a Reshape goes."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    array: list[int] = constants[made.graph.node[node].input[1]].tolist()
    return array


class Batch(unittest.TestCase):
    def test_images_stay_apart_where_they_are_reshaped(self) -> None:
        constants = {"flat": np.array([1, 12]), "row": np.array([1, 12]), "bias": np.ones(12, np.float32)}
        nodes = [
            helper.make_node("Reshape", ["x", "flat"], ["f"], allowzero=1),
            # Of a constant, which has no images.
            helper.make_node("Reshape", ["bias", "row"], ["b"]),
            helper.make_node("Add", ["f", "b"], ["s"]),
            helper.make_node("Constant", [], ["map"], value=numpy_helper.from_array(np.array([1, 3, -1]))),
            helper.make_node("Reshape", ["s", "map"], ["y"]),
        ]
        made = model(nodes, [1, 3, 4], constants)
        fix(made, 5)
        self.assertEqual((target(made, 0), target(made, 1), target(made, 4)), ([0, 12], [1, 12], [0, 3, -1]))
        self.assertEqual([value.name for value in made.graph.input], ["x"])
        self.assertEqual((sizes(made.graph.input[0]), sizes(made.graph.output[0])), ([5, 3, 4], [5, 3, 4]))
        onnx.checker.check_model(made, full_check=True)
        fix(made, 2)
        self.assertEqual(sizes(made.graph.output[0]), [2, 3, 4])

    def test_one_output_is_left(self) -> None:
        nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Abs", ["x"], ["y1"])]
        made = model(nodes, [1, 2], {}, outputs=2)
        fix(made, 3)
        self.assertEqual([value.name for value in made.graph.output], ["y"])

    def test_what_a_softmax_does_not_say(self) -> None:
        nodes = [helper.make_node("Softmax", ["x"], ["a"]), helper.make_node("Softmax", ["a"], ["y"], axis=0)]
        for opset, axis in [(9, 1), (13, -1)]:
            made = model(nodes, [1, 2, 3], {})
            made.opset_import[0].version = opset
            fix(made, 1)
            self.assertEqual([node.attribute[0].i for node in made.graph.node], [axis, 0])

    def test_sizes_that_are_open(self) -> None:
        nodes = [helper.make_node("Relu", ["x"], ["y"])]
        made = model(nodes, ["n", 3, "h", "w"], {})
        for wrong in (None, [1, 3, 5]):
            with self.assertRaisesRegex(ModelError, "--shape"):
                fix(made, 2, wrong)
        # What is stated stays.
        fix(made, 2, [1, 9, 5, 7])
        self.assertEqual(sizes(made.graph.output[0]), [2, 3, 5, 7])

    def test_one_input(self) -> None:
        made = model([helper.make_node("Add", ["x", "z"], ["y"])], [1, 2], {})
        made.graph.input.append(helper.make_tensor_value_info("z", TensorProto.FLOAT, [1, 2]))
        with self.assertRaisesRegex(ModelError, "2 inputs"):
            fix(made, 1)


class Depth(unittest.TestCase):
    def test_is_of_the_longest_way(self) -> None:
        weights = {"w": np.ones((2, 2), np.float32)}
        nodes = [
            helper.make_node("MatMul", ["w", "w"], ["v"]),
            helper.make_node("MatMul", ["x", "v"], ["a"]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("Gemm", ["b", "w"], ["c"]),
            helper.make_node("MatMul", ["x", "w"], ["d"]),
            helper.make_node("Clip", ["c", "", "x"], ["e"]),
            helper.make_node("Add", ["d", "e"], ["y"]),
            helper.make_node("MatMul", ["y", "w"], ["beyond"]),
        ]
        self.assertEqual(depth(model(nodes, [1, 2], weights).graph), 2)
        self.assertEqual(depth(model(nodes[4:5], [1, 2], weights).graph), 0, "the output is nowhere")
