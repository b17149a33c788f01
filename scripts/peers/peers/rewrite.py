"""ONNX models as all engines are given them: one input, one output, every size stated."""

import onnx
from onnx import helper, numpy_helper, shape_inference

# The nodes that a model's depth counts: sums of products, which round.
LAYERS = ("Conv", "Gemm", "MatMul")

# From this opset on a Softmax is of its last axis if it names none; of old it is of all from the second on.
SOFTMAX_OF_ONE_AXIS = 13


class ModelError(Exception):
    """A model that cannot be compared."""


def fix(model: onnx.ModelProto, batch: int, sizes: list[int] | None = None) -> None:
    """Makes `model` one for `batch` images that computes its first output.

    The other sizes that its input leaves open are those of `sizes`, which has as many as the input, images first.

    # Raises
    ModelError if it has several inputs, or leaves sizes open that `sizes` does not give.
    """
    drop_constant_inputs(model)
    graph = model.graph
    if len(graph.input) != 1:
        raise ModelError(f"it has {len(graph.input)} inputs; models of one are compared")
    dims = graph.input[0].type.tensor_type.shape.dim
    given = sizes if sizes and len(sizes) == len(dims) else [0] * len(dims)
    stated = [dim.dim_value for dim in dims]
    wanted = [batch, *(one or other for one, other in zip(stated[1:], given[1:], strict=True))]
    if not dims or 0 in wanted:
        raise ModelError(f"its input leaves sizes open, {stated}: give them by --shape")
    for dim, size in zip(dims, wanted, strict=True):
        dim.dim_value = size
    # One that leaves it open was written for one image all the same.
    _free_reshapes(graph, stated[0] or 1)
    _state_axes(model)
    # Shapes of before.
    del graph.output[1:], graph.value_info[:]
    graph.output[0].type.tensor_type.ClearField("shape")
    inferred = shape_inference.infer_shapes(model, data_prop=True).graph.output[0]
    graph.output[0].CopyFrom(inferred)


def drop_constant_inputs(model: onnx.ModelProto) -> None:
    """Leaves what a caller must give as the only inputs: of old, constants are among them."""
    constants = {tensor.name for tensor in model.graph.initializer}
    for value in [value for value in model.graph.input if value.name in constants]:
        model.graph.input.remove(value)
    # The first version that lets them be missing there.
    model.ir_version = max(model.ir_version, 4)


def depth(graph: onnx.GraphProto) -> int:
    """The layers on the longest way from the input to the output."""
    depths = {graph.input[0].name: 0}
    for node in graph.node:
        before = [depths[name] for name in node.input if name in depths]
        if before:
            here = max(before) + (node.op_type in LAYERS)
            # Without a name is an output that nobody asked for.
            depths |= {name: here for name in node.output if name}
    return depths.get(graph.output[0].name, 0)


def _state_axes(model: onnx.ModelProto) -> None:
    """Says of each Softmax what it means by saying nothing: converters read old ones as new ones."""
    [opset] = [opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")]
    for node in model.graph.node:
        if node.op_type == "Softmax" and not node.attribute:
            node.attribute.append(helper.make_attribute("axis", 1 if opset < SOFTMAX_OF_ONE_AXIS else -1))


def _free_reshapes(graph: onnx.GraphProto, batch: int) -> None:
    """Lets what depends on the input keep its images where it is reshaped to `batch` of them."""
    targets = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            targets[node.output[0]] = node.attribute[0].t
    images = {graph.input[0].name}
    for node in graph.node:
        if images.isdisjoint(node.input):
            continue
        images |= set(node.output) - {""}
        if node.op_type != "Reshape" or node.input[1] not in targets:
            continue
        sizes = numpy_helper.to_array(targets[node.input[1]]).copy()
        if sizes.size > 0 and sizes[0] == batch:
            # As many as there are. Constants may be others' too.
            sizes[0] = 0
            name = f"{node.output[0]}/sizes"
            graph.initializer.append(numpy_helper.from_array(sizes, name))
            node.input[1] = name
            for attribute in [attribute for attribute in node.attribute if attribute.name == "allowzero"]:
                node.attribute.remove(attribute)
