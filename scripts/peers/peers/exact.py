"""The exact output of a whole model, as far as 64-bit floats are exact, in a process of its own.

All that is f32 becomes f64. ONNX's reference evaluator computes one node after another, with the operators of
`peers/operators.py` in the place of some of its own.
"""

import argparse
import signal
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto, TensorProto, helper, inliner, numpy_helper
from onnx.reference import ReferenceEvaluator

from .operators import OPERATORS, ROUNDING
from .rewrite import ModelError, fix

# What a model may take: some operators are computed one element at a time.
SECONDS = 600

# Attributes of nodes that are the type of what they write, or compute on their way.
TYPES = ("to", "dtype", "softmax_precision", "stash_type")


class InexactError(Exception):
    """A node that is not computed in f64."""

    def __init__(self, node: NodeProto, reason: str) -> None:
        super().__init__(f"{node.op_type} {node.name or node.output[0]!r} is not computed in f64: {reason}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("input", type=Path, help="images, [n, c, h, w]")
    parser.add_argument("output", type=Path, help="where the output goes, [n, ...]")
    args = parser.parse_args()
    signal.signal(signal.SIGALRM, _give_up)
    signal.alarm(SECONDS)
    try:
        np.save(args.output, exact(onnx.load(args.model), np.load(args.input)))
    except (InexactError, ModelError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def exact(model: onnx.ModelProto, images: np.ndarray) -> np.ndarray:
    """The first output of a model of one input, for as many images as there are.

    # Raises
    InexactError for a node that is not computed in f64.
    """
    if model.functions:
        model = inliner.inline_local_functions(model)
    fix(model, 1)
    graph = Graph(model)
    first = graph.run(images[:1])
    if len(first) == 1:
        # One after another: all that lies in between is in memory.
        return np.concatenate([first, *(graph.run(image[None]) for image in images[1:])])
    fix(model, len(images))
    return Graph(model).run(images)


class Graph:
    """A model's graph, whose f32 are f64."""

    def __init__(self, model: onnx.ModelProto) -> None:
        # What one node after another is put into.
        self._model = onnx.ModelProto()
        self._model.opset_import.extend(model.opset_import)
        self._nodes = _needed(model.graph)
        for node in self._nodes:
            _widen(node)
        self._constants = {tensor.name: _wide(numpy_helper.to_array(tensor)) for tensor in model.graph.initializer}
        self._input, self._output = model.graph.input[0].name, model.graph.output[0].name

    def run(self, images: np.ndarray) -> np.ndarray:
        """The first output."""
        values = self._constants | {self._input: _wide(images)}
        # How many nodes are still to read a value.
        readers = Counter(name for node in self._nodes for name in set(node.input))
        for node in self._nodes:
            values |= self._computed(node, values)
            for name in set(node.input) - {""}:
                readers[name] -= 1
                if not readers[name]:
                    del values[name]
        return values[self._output]

    def _computed(self, node: NodeProto, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What a node writes."""
        names = [name for name in node.output if name]
        try:
            inputs = [_described(name, values[name]) for name in dict.fromkeys(node.input) if name]
            outputs = [helper.make_empty_tensor_value_info(name) for name in names]
            self._model.graph.CopyFrom(helper.make_graph([node], node.name, inputs, outputs))
            evaluator = ReferenceEvaluator(self._model, new_ops=OPERATORS)
            written = dict(zip(names, evaluator.run(None, values), strict=True))
        # Operators fail by whatever they come upon.
        except Exception as error:
            reason = str(error.__cause__ or error)
            raise InexactError(node, reason.partition("\n")[0]) from error
        for array in written.values():
            if array.dtype != np.float64 and array.dtype.kind not in "biu":
                raise InexactError(node, f"it gives {array.dtype}")
        return written


def _needed(graph: onnx.GraphProto) -> list[NodeProto]:
    """The nodes that the first output depends on, of their outputs only those that are read."""
    nodes: list[NodeProto] = []
    read = {graph.output[0].name}
    for node in reversed(graph.node):
        outputs = [name if name in read else "" for name in node.output]
        if any(outputs):
            read |= set(node.input)
            needed = NodeProto()
            needed.CopyFrom(node)
            needed.output[:] = outputs
            nodes.append(needed)
    return nodes[::-1]


def _widen(node: NodeProto) -> None:
    """Makes f64 of what is f32 among a node's constants and types."""
    if node.op_type in ROUNDING:
        raise InexactError(node, "it is computed in f32")
    if node.op_type == "ConstantOfShape" and not node.attribute:
        node.attribute.append(helper.make_attribute("value", numpy_helper.from_array(np.zeros(1))))
    for attribute in node.attribute:
        if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
            raise InexactError(node, "it has graphs inside")
        if attribute.type == AttributeProto.TENSOR:
            attribute.t.CopyFrom(numpy_helper.from_array(_wide(numpy_helper.to_array(attribute.t))))
        elif node.op_type == "Constant" and attribute.type in (AttributeProto.FLOAT, AttributeProto.FLOATS):
            value = np.array(helper.get_attribute_value(attribute))
            attribute.CopyFrom(helper.make_attribute("value", numpy_helper.from_array(value)))
        elif attribute.name in TYPES and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.DOUBLE


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64) if array.dtype == np.float32 else array


def _described(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def _give_up(*_: object) -> None:
    raise TimeoutError(f"the model took {SECONDS} seconds")


if __name__ == "__main__":
    sys.exit(main())
