"""Three ONNX models that are chains of layers and none of convlab's own networks, with seeded weights.

Between them they have the operators of such chains, windows that are uneven, strided and dilated, old and new opsets, and
weights inside the model and in a file beside it.
"""

from pathlib import Path
from typing import Self

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# The model's two ends.
INPUT, OUTPUT = "input", "output"

# The IR version of each opset: of the ONNX release that brought it.
IR_VERSIONS = {9: 4, 12: 7, 22: 10}

CLASSES = 200

# What a node may say beside its inputs.
Attribute = int | float | str | list[int]


class Chain:
    """A model under construction: each node reads what the one before it wrote, and constants."""

    def __init__(self, name: str, image: tuple[int, int, int], seed: int) -> None:
        self.name = name
        self._image = image
        self._random = np.random.default_rng(seed)
        self._channels = image[0]
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def node(self, operator: str, *constants: np.ndarray, **attributes: Attribute) -> Self:
        """Appends a node."""
        names = [f"constant{len(self._constants) + i}" for i in range(len(constants))]
        arrays = zip(constants, names, strict=True)
        self._constants += [numpy_helper.from_array(array, name) for array, name in arrays]
        last = self._nodes[-1].output[0] if self._nodes else INPUT
        output = f"value{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, [last, *names], [output], **attributes))
        return self

    def conv(
        self, channels: int, kernel: tuple[int, int], *, group: int = 1, bias: bool = True, **attributes: Attribute
    ) -> Self:
        """A convolution with weights that keep the variance through a ReLU (He et al., 2015)."""
        shape = (channels, self._channels // group, *kernel)
        weights = [self.weights(shape, fan_in=int(np.prod(shape[1:])))]
        self._channels = channels
        return self.node("Conv", *weights, *([self.normal(channels)] if bias else []), group=group, **attributes)

    def normalise(self, epsilon: float) -> Self:
        """Batch normalisation, as trained."""
        spread = [self._random.uniform(0.5, 1.5, self._channels).astype(np.float32) for _ in range(2)]
        centres = [self.normal(self._channels) for _ in range(2)]
        return self.node("BatchNormalization", spread[0], *centres, spread[1], epsilon=epsilon)

    def weights(self, shape: tuple[int, ...], fan_in: int) -> np.ndarray:
        """Of variance 2 / `fan_in`."""
        return self._random.normal(0, (2 / fan_in) ** 0.5, shape).astype(np.float32)

    def normal(self, length: int) -> np.ndarray:
        """Small numbers, as of biases."""
        return self._random.normal(0, 0.1, length).astype(np.float32)

    def write(self, folder: Path, batch: int, opset: int, *, external: bool = False) -> Path:
        """Writes it for `batch` images; `external` weights into a file beside it."""
        self._nodes[-1].output[0] = OUTPUT
        floats = TensorProto.FLOAT
        ends = [(INPUT, [batch, *self._image]), (OUTPUT, [batch, CLASSES])]
        [before], [after] = ([helper.make_tensor_value_info(name, floats, shape)] for name, shape in ends)
        graph = helper.make_graph(self._nodes, self.name, [before], [after], self._constants)
        opsets = [helper.make_opsetid("", opset)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSIONS[opset])
        path = folder / f"{self.name}.onnx"
        onnx.save(model, path, save_as_external_data=external, location=f"{self.name}.bin")
        onnx.checker.check_model(path, full_check=True)
        return path


def zfnet(folder: Path, batch: int) -> Path:
    """After Zeiler and Fergus, 2013: large strided filters, LRN of two sizes, pooling that rounds up, groups."""
    chain = Chain("zfnet", (3, 128, 128), seed=1)
    chain.conv(96, (7, 7), strides=[2, 2], pads=[1] * 4).node("Relu")
    chain.node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    chain.node("LRN", size=5, alpha=0.5, beta=0.75, bias=2.0)
    chain.conv(256, (5, 5), strides=[2, 2]).node("Relu").node("LRN", size=3, alpha=0.1, beta=0.75)
    chain.node("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    chain.conv(384, (3, 3), pads=[1] * 4).node("Relu")
    chain.conv(384, (3, 3), pads=[1] * 4, group=2).node("Relu")
    chain.conv(256, (3, 3), pads=[1] * 4).node("Relu")
    chain.node("MaxPool", kernel_shape=[3, 3], strides=[2, 2]).node("Flatten")
    chain.node("Gemm", chain.weights((2304, 1024), 2304), chain.normal(1024)).node("Relu")
    chain.node("Dropout", np.array(0.5, np.float32))
    chain.node("Gemm", chain.weights((CLASSES, 1024), 1024), chain.normal(CLASSES), transB=1, alpha=0.5, beta=2.0)
    return chain.node("Softmax").write(folder, batch, 12)


def vgg(folder: Path, batch: int) -> Path:
    """After Simonyan and Zisserman, 2014: 3x3 filters of stride 1; its weights are in a file of their own."""
    chain = Chain("vgg", (3, 64, 96), seed=2)
    for channels, count in [(64, 2), (128, 2), (256, 3), (512, 2), (512, 2)]:
        for _ in range(count):
            chain.conv(channels, (3, 3), auto_pad="SAME_UPPER").node("Relu")
        chain.node("MaxPool", kernel_shape=[2, 2], strides=[2, 2])
    chain.node("Reshape", np.array([0, -1]))
    chain.node("Gemm", chain.weights((1024, 3072), 3072), chain.normal(1024), transB=1).node("Relu").node("Identity")
    chain.node("Gemm", chain.weights((CLASSES, 1024), 1024), chain.normal(CLASSES), transB=1)
    return chain.node("Softmax", axis=-1).write(folder, batch, 22, external=True)


def averaged(folder: Path, batch: int) -> Path:
    """Batch normalisation, means, depthwise, pointwise, dilated and uneven filters, a product and a sum."""
    chain = Chain("averaged", (3, 75, 61), seed=3)
    chain.conv(32, (7, 5), bias=False, strides=[2, 2], pads=[3, 2, 2, 1]).normalise(1e-3).node("Relu")
    chain.node("AveragePool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4, count_include_pad=1)
    chain.conv(32, (3, 3), group=32, pads=[1] * 4).normalise(1e-5).node("Relu")
    chain.conv(96, (1, 1), bias=False).normalise(1e-5).node("Relu")
    chain.conv(128, (3, 3), dilations=[2, 2], pads=[2] * 4).normalise(1e-5).node("Relu")
    chain.node("AveragePool", kernel_shape=[2, 3], strides=[2, 2], pads=[0, 1, 0, 1])
    chain.conv(160, (3, 3), strides=[2, 1], pads=[1] * 4).normalise(1e-5).node("Relu")
    chain.node("GlobalAveragePool").node("Flatten")
    chain.node("MatMul", chain.weights((160, CLASSES), 160)).node("Add", chain.normal(CLASSES))
    return chain.node("Softmax", axis=1).write(folder, batch, 9)


CHAINS = {"zfnet": zfnet, "vgg": vgg, "averaged": averaged}
