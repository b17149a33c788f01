"""Writes an ONNX chain of layers as ncnn's two files: a `.param` of text, a `.bin` of weights.

ncnn's own converters come with PyTorch, or have to be built; an AlexNet needs few operators. Layers and their numbered
parameters are those of ncnn's documentation, `docs/developer-guide/operators.md`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import onnx
from onnx import numpy_helper

from . import INPUT, OUTPUT

# Before a layer's weights: they are plain f32.
PLAIN = np.zeros(1, "<u4")


def write_model(model: Path, folder: Path) -> Path:
    """Writes both files into `folder` and returns the `.param`."""
    graph = onnx.load(model).graph
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    parameters = folder / f"{model.stem}.param"
    with parameters.with_suffix(".bin").open("wb") as file:
        layers = list(_layers(graph, weights, file))
    blobs = [INPUT] + [f"blob{i}" for i in range(1, len(layers))] + [OUTPUT]
    _, channels, height, width = (size.dim_value for size in graph.input[0].type.tensor_type.shape.dim)
    lines = ["7767517", f"{len(layers) + 1} {len(blobs)}", f"Input in 0 1 {INPUT} 0={width} 1={height} 2={channels}"]
    for i, (kind, numbers) in enumerate(layers):
        settings = " ".join(f"{key}={value}" for key, value in numbers.items())
        lines.append(f"{kind} layer{i} 1 1 {blobs[i]} {blobs[i + 1]} {settings}")
    parameters.write_text("\n".join(lines) + "\n")
    return parameters


def _layers(
    graph: onnx.GraphProto, weights: dict[str, np.ndarray], file: BinaryIO
) -> Iterator[tuple[str, dict[int, Any]]]:
    """Each layer with its parameters, a ReLU inside the layer before it; the weights go to `file`."""
    nodes = [node for node in graph.node if node.op_type not in ("Dropout", "Identity")]
    for node, following in zip(nodes, [*nodes[1:], None], strict=True):
        attributes = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        has_relu = following is not None and following.op_type == "Relu"
        match node.op_type:
            case "Conv" | "Gemm":
                weight, bias = (weights[name] for name in node.input[1:3])
                file.writelines(np.ascontiguousarray(array).tobytes() for array in (PLAIN, weight, bias))
                layer = _convolution(weight, attributes) if node.op_type == "Conv" else _linear(weight, attributes)
                layer[1][9] = int(has_relu)
                yield layer
            case "MaxPool":
                size, stride, pad = _window(attributes)
                yield "Pooling", {0: 0, 1: size, 2: stride, 3: pad, 5: 1}
            case "LRN":
                numbers = (attributes["size"], attributes["alpha"], attributes["beta"], attributes["bias"])
                yield "LRN", {0: 0, **dict(enumerate(numbers, start=1))}
            case "Softmax":
                yield "Softmax", {0: 0, 1: 1}
            case "Flatten" | "Reshape":
                yield "Flatten", {}
            case "Relu":
                continue
            case other:
                raise ValueError(f"{other} has no counterpart here: add it to {Path(__file__).name}")


def _convolution(weight: np.ndarray, attributes: dict[str, Any]) -> tuple[str, dict[int, Any]]:
    size, stride, pad = _window(attributes)
    numbers = {0: weight.shape[0], 1: size, 3: stride, 4: pad, 5: 1, 6: weight.size}
    groups = attributes.get("group", 1)
    return ("Convolution", numbers) if groups == 1 else ("ConvolutionDepthWise", {**numbers, 7: groups})


def _linear(weight: np.ndarray, attributes: dict[str, Any]) -> tuple[str, dict[int, Any]]:
    if attributes.get("transB", 0) != 1:
        raise ValueError("a Gemm without transB: ncnn wants a row of weights for each output")
    return "InnerProduct", {0: weight.shape[0], 1: 1, 2: weight.size}


def _window(attributes: dict[str, Any]) -> tuple[int, int, int]:
    """Size, stride and padding of a filter or pooling window."""
    sizes = (attributes["kernel_shape"], attributes.get("strides", [1, 1]), attributes.get("pads", [0]))
    dense = set(attributes.get("dilations", [1])) == {1} and not attributes.get("ceil_mode", 0)
    if not dense or any(len(set(size)) != 1 for size in sizes):
        raise ValueError("a window that is not square, dense and padded alike on all sides")
    size, stride, pad = (size[0] for size in sizes)
    return size, stride, pad
