"""The three chains: what they are made of."""

import tempfile
import unittest
from pathlib import Path

import onnx

from peers.chains import CHAINS

# Of chains of layers, constants aside.
OPERATORS = {
    *("Conv", "Gemm", "MatMul", "Add", "BatchNormalization", "Relu", "LRN", "MaxPool", "AveragePool"),
    *("GlobalAveragePool", "Flatten", "Reshape", "Dropout", "Identity", "Softmax"),
}


class Chains(unittest.TestCase):
    def test_every_operator_old_and_new_and_weights_beside_the_model(self) -> None:
        operators: set[str] = set()
        opsets: set[int] = set()
        with tempfile.TemporaryDirectory() as folder:
            for write in CHAINS.values():
                path = write(Path(folder), 2)
                model = onnx.load(path, load_external_data=False)
                operators |= {node.op_type for node in model.graph.node}
                opsets.add(model.opset_import[0].version)
                [image] = model.graph.input
                self.assertEqual(image.type.tensor_type.shape.dim[0].dim_value, 2)
                again = Path(folder) / "again"
                again.mkdir(exist_ok=True)
                self.assertEqual(path.read_bytes(), write(again, 2).read_bytes(), "seeded")
            files = {file.name for file in Path(folder).iterdir()}
        self.assertEqual(operators, OPERATORS)
        self.assertEqual(opsets, {9, 12, 22})
        self.assertEqual(files - {"again"}, {"zfnet.onnx", "vgg.onnx", "vgg.bin", "averaged.onnx"})
