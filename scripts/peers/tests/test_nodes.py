"""What is made of ONNX's node tests, without convlab."""

import unittest

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from peers.nodes import KNOWN, OPERATORS, Outcome, cases, reason, table, with_constants


class Nodes(unittest.TestCase):
    def test_all_inputs_but_the_first_become_constants(self) -> None:
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xyz"]
        node = helper.make_node("Sum", ["x", "y", "z"], ["s"])
        model = helper.make_model(helper.make_graph([node], "sum", values, values[:1]))
        arrays = [np.full(2, i, np.float32) for i in range(3)]
        fixed = with_constants(model, arrays)
        self.assertEqual([value.name for value in fixed.graph.input], ["x"])
        constants = {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in fixed.graph.initializer}
        self.assertEqual(constants, {"y": [1, 1], "z": [2, 2]})
        self.assertEqual(len(model.graph.input), 3)

    def test_a_refusal_is_told_without_names_and_advice(self) -> None:
        said = "convlab: model/y (MaxPool) has dilation = 2; it must be 1; `convlab bench` takes the convolutions\n"
        self.assertEqual(reason(said), "has dilation = 2; it must be 1")
        said = "convlab: /tmp/a/model.onnx: the node 'y' (Gemm) has a bias of the shape [3, 4] for 4 channels"
        self.assertEqual(reason(said), "has a bias of the shape [3, 4] for 4 channels")
        self.assertEqual(reason(""), "")

    def test_outcomes_are_counted_by_operator(self) -> None:
        lines = table({"Relu": [Outcome("passes"), Outcome("refused", "a"), Outcome("refused", "a")]}).splitlines()
        self.assertEqual(lines[2], "| Relu | 1 | 2 | 0 | a (2) |")
        self.assertEqual(lines[-1], "| all | 1 | 2 | 0 | |")

    def test_every_operator_has_tests(self) -> None:
        found = list(cases(OPERATORS))
        self.assertEqual(set(OPERATORS) - {operator for operator, _ in found}, set())
        self.assertEqual(KNOWN.keys() - {case.name for _, case in found}, set())


if __name__ == "__main__":
    unittest.main()
