"""The models that the `onnx` package carries for its own tests, with weights that make something of an image.

Of the weights they have only the shapes, filled with one number each. Here they are seeded: the variance of what a layer
computes stays about that of its input, through ReLUs, branches and sums, so that a softmax at the end is neither flat
nor one class, which would hide differences.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .rewrite import drop_constant_inputs

FOLDER = Path(onnx.__file__).parent / "backend/test/data/light"

NAMES = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)

SEED = 1

# Standard deviation of biases, and of the means of batch normalisation.
SMALL = 0.1

# What summands and logits are multiplied by, if the node that writes them has weights: each block of a residual network
# would double the variance, and a softmax make one class of it.
DAMPING = 0.35

# Nodes after which values have both signs again.
COMPUTING = ("Conv", "Gemm", "BatchNormalization", "Mul", "Add", "Sum")


def load(name: str) -> onnx.ModelProto:
    """One of `NAMES` with seeded weights."""
    model = onnx.load(FOLDER / f"light_{name}.onnx")
    give_weights(model)
    return model


def give_weights(model: onnx.ModelProto) -> None:
    """Puts seeded weights in the place of all constants of floats, which are initializers or nodes that fill a shape.

    # Raises
    ValueError for a constant of which it is not known what it is to the network.
    """
    drop_constant_inputs(model)
    graph = model.graph
    shapes = _shapes(graph)
    weights: dict[str, np.ndarray] = {}
    for name, array in _weights(graph, shapes):
        weights.setdefault(name, array)
    # What filled them, and with it the shapes that only that read.
    for node in [node for node in graph.node if node.op_type == "ConstantOfShape" and node.output[0] in shapes]:
        graph.node.remove(node)
    read = {name for node in graph.node for name in node.input}
    unknown = read & shapes.keys() - weights.keys()
    if unknown:
        raise ValueError(f"it is not known what these constants are: {', '.join(sorted(unknown))}")
    for tensor in [tensor for tensor in graph.initializer if tensor.name in shapes or tensor.name not in read]:
        graph.initializer.remove(tensor)
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())


def _shapes(graph: onnx.GraphProto) -> dict[str, list[int]]:
    """Every constant of floats."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    shapes = {name: list(tensor.dims) for name, tensor in constants.items() if tensor.data_type == TensorProto.FLOAT}
    for node in graph.node:
        if node.op_type == "ConstantOfShape" and node.input[0] in constants:
            shapes[node.output[0]] = numpy_helper.to_array(constants[node.input[0]]).tolist()
    return shapes


def _weights(graph: onnx.GraphProto, shapes: dict[str, list[int]]) -> Iterator[tuple[str, np.ndarray]]:
    """Name and values of what the nodes read, in their order."""
    random = np.random.default_rng(SEED)
    damped = {name for node in graph.node if node.op_type in ("Sum", "Softmax") for name in node.input}
    # Constants with ones among their sizes that the nodes do not see, or the other way round.
    views = {node.output[0]: node.input[0] for node in graph.node if node.op_type in ("Unsqueeze", "Reshape")}

    def normal(name: str, deviation: float) -> tuple[str, np.ndarray]:
        return name, random.standard_normal(shapes[name], np.float32) * np.float32(deviation)

    def spread(name: str) -> np.ndarray:
        """Uneven factors that leave the variance as it is."""
        factors = random.uniform(0.5, 1.5, shapes[name])
        return factors / np.sqrt(np.mean(factors**2))

    # What ReLUs wrote, also pooled, moved or put together.
    rectified: set[str] = set()
    for node in graph.node:
        if node.op_type == "Relu" or (node.op_type not in COMPUTING and node.input[0] in rectified):
            rectified |= set(node.output)
        damping = DAMPING if node.output[0] in damped else 1.0
        match node.op_type:
            case "Conv" | "Gemm":
                weight = views.get(node.input[1], node.input[1])
                # ReLUs leave half of the mean square: He et al., 2015.
                gain = 2 if node.input[0] in rectified else 1
                yield normal(weight, damping * (gain / _fan_in(node, shapes[weight])) ** 0.5)
                for bias in node.input[2:]:
                    yield normal(bias, SMALL)
            case "BatchNormalization":
                scale, bias, mean, variance = node.input[1:]
                trained = random.uniform(0.5, 1.5, shapes[variance])
                yield variance, trained.astype(np.float32)
                yield scale, (damping * spread(scale) * np.sqrt(trained)).astype(np.float32)
                yield normal(bias, SMALL)
                yield normal(mean, SMALL)
            case "Mul" | "Add":
                for name in (views.get(name, name) for name in node.input):
                    if name in shapes:
                        is_factor = node.op_type == "Mul"
                        yield (name, spread(name).astype(np.float32)) if is_factor else normal(name, SMALL)


def _fan_in(node: onnx.NodeProto, shape: list[int]) -> int:
    """How many products an output of a layer sums up."""
    if node.op_type == "Conv":
        return int(np.prod(shape[1:]))
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    # A matrix, or one with ones before it.
    return shape[-1] if attributes.get("transB", 0) else shape[-2]
