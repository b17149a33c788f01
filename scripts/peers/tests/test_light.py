"""Weights of the `onnx` package's models: seeded, and such that something comes out."""

import unittest

import numpy as np
import onnx
from onnx import numpy_helper

from peers import light
from peers.rewrite import fix

# Those with few weights, which between them have all that the others have.
SMALL = ("squeezenet", "shufflenet", "inception_v1", "inception_v2", "densenet121")


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


class Weights(unittest.TestCase):
    def test_every_model_is_in_the_package(self) -> None:
        found = {path.stem.removeprefix("light_") for path in light.FOLDER.glob("*.onnx")}
        self.assertEqual(found, set(light.NAMES))

    def test_a_seed_is_one_model(self) -> None:
        first, second = (light.load("squeezenet").SerializeToString(deterministic=True) for _ in range(2))
        self.assertEqual(first, second)

    def test_nothing_is_left_of_what_filled_them(self) -> None:
        for name in SMALL:
            with self.subTest(name):
                model = light.load(name)
                read = {name for node in model.graph.node for name in node.input}
                self.assertEqual([node.name for node in model.graph.node if node.op_type == "ConstantOfShape"], [])
                self.assertEqual({tensor.name for tensor in model.graph.initializer} - read, set())
                fix(model, 2)
                onnx.checker.check_model(model, full_check=True)
                self.assertEqual(model.graph.output[0].type.tensor_type.shape.dim[0].dim_value, 2)
                for constant, array in constants(model).items():
                    if array.dtype == np.float32 and array.size > 1:
                        self.assertGreater(array.std(), 0, constant)

    def test_layers_keep_the_variance(self) -> None:
        model = light.load("squeezenet")
        arrays = constants(model)
        convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
        for index, node in enumerate(convolutions):
            weights = arrays[node.input[1]]
            # The first reads the images, all others what a ReLU wrote.
            gain = np.mean(weights**2) * np.prod(weights.shape[1:])
            self.assertAlmostEqual(gain, 2 if index else 1, delta=0.15)

    def test_normalisation_is_uneven_and_keeps_the_variance(self) -> None:
        model = light.load("shufflenet")
        arrays = constants(model)
        summands = {name for node in model.graph.node if node.op_type == "Sum" for name in node.input}
        seen = set()
        for node in model.graph.node:
            if node.op_type == "BatchNormalization":
                scale, _, mean, variance = (arrays[name] for name in node.input[1:])
                damping = light.DAMPING if node.output[0] in summands else 1.0
                seen.add(damping)
                self.assertGreater(min(scale.std(), mean.std(), variance.std()), 0.03)
                self.assertAlmostEqual(np.mean(scale**2 / variance), damping**2, places=4)
        self.assertEqual(seen, {1.0, light.DAMPING})
