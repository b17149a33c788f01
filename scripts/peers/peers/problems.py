"""Single convolutions: which there are, as convlab lists them, and each as an ONNX model and as plain arrays."""

import json
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .rewrite import ModelError
from .sources import RELEASE, SEED
from .windows import Axis

# The model's two ends.
INPUT, OUTPUT = "input", "output"

OPSET, IR_VERSION = 13, 7

# What stands for a size that a descriptor does not say: a square has one of each pair.
SQUARE = {"iw": "ih", "ow": "oh", "kw": "kh", "sw": "sh", "pw": "ph", "dw": "dh"}
DEFAULTS = {"g": 1, "mb": 1, "sh": 1, "ph": 0, "dh": 0}


class Problem(NamedTuple):
    """A convolution."""

    # Of its records, and as convlab reads it.
    name: str
    descriptor: str
    # Convlab's, those that compute it.
    families: list[str]
    groups: int
    batch: int
    channels: int
    filters: int
    # Down and across.
    axes: tuple[Axis, Axis]

    def input_shape(self) -> list[int]:
        return [self.batch, self.channels, *(axis.input for axis in self.axes)]

    def output_shape(self) -> list[int]:
        return [self.batch, self.filters, *(axis.output for axis in self.axes)]

    def weights_shape(self) -> list[int]:
        return [self.filters, self.channels // self.groups, *(axis.kernel for axis in self.axes)]

    def flops(self) -> int:
        """Operations of the direct method, taps in the padding included."""
        return 2 * int(np.prod(self.output_shape())) * int(np.prod(self.weights_shape()[1:]))


class Data(NamedTuple):
    """What a problem is computed on."""

    images: np.ndarray
    weights: np.ndarray
    bias: np.ndarray


def parse(name: str, descriptor: str, families: list[str]) -> Problem:
    """A problem from its descriptor in benchdnn's syntax, as convlab writes it: the output's size is always said."""
    sizes = DEFAULTS | {key: int(value) for key, value in re.findall(r"([a-z]+)(\d+)", descriptor)}
    sizes |= {wide: sizes[high] for wide, high in SQUARE.items() if wide not in sizes}
    down, across = (_axis({kind: sizes[kind + side] for kind in "iokspd"}) for side in "hw")
    return Problem(name, descriptor, families, *(sizes[key] for key in ("g", "mb", "ic", "oc")), (down, across))


def listed(names: list[str], batches: list[int]) -> list[Problem]:
    """The problems that files, networks, models and descriptors hold, as `convlab list problems` has them.

    # Raises
    ModelError if there are none of these.
    """
    command = [str(RELEASE / "convlab"), "list", "problems", *names, "--batch", ",".join(map(str, batches)), "--json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise ModelError(done.stderr.strip())
    return [parse(found["name"], found["descriptor"], found["families"]) for found in json.loads(done.stdout)]


def drawn(problem: Problem) -> Data:
    """Images as after a ReLU, weights that keep their variance, small biases; all seeded."""
    random = np.random.default_rng(SEED)
    weights_shape = problem.weights_shape()
    images = np.maximum(random.standard_normal(problem.input_shape(), np.float32), 0)
    weights = random.standard_normal(weights_shape, np.float32) * np.float32((2 / np.prod(weights_shape[1:])) ** 0.5)
    return Data(images, weights, random.standard_normal(problem.filters, np.float32) * np.float32(0.1))


def write(problem: Problem, data: Data, folder: Path) -> None:
    """Writes `conv.onnx`, a model of one Conv node, and the same as `conv.txt` with arrays beside it."""
    for name, array in data._asdict().items():
        np.save(folder / f"{name}.npy", array)
    down, across = problem.axes
    sizes = {"g": problem.groups, "mb": problem.batch, "ic": problem.channels, "oc": problem.filters}
    for side, axis in (("h", down), ("w", across)):
        # As oneDNN counts: a dilation of 0 leaves nothing out. `r` is what is after the input.
        numbers = (axis.input, axis.output, axis.kernel, axis.stride, axis.before, axis.after, axis.dilation - 1)
        sizes |= {kind + side: number for kind, number in zip("ioksprd", numbers, strict=True)}
    (folder / "conv.txt").write_text("".join(f"{name} {size}\n" for name, size in sizes.items()))
    onnx.save(_model(problem, data), folder / "conv.onnx")


def _axis(sizes: dict[str, int]) -> Axis:
    """From the sizes of one direction, by their letters."""
    return Axis.of((sizes["i"], sizes["o"]), sizes["k"], sizes["s"], sizes["p"], sizes["d"] + 1)


def _model(problem: Problem, data: Data) -> onnx.ModelProto:
    down, across = problem.axes
    node = helper.make_node(
        "Conv",
        [INPUT, "weights", "bias"],
        [OUTPUT],
        name="conv",
        group=problem.groups,
        kernel_shape=[down.kernel, across.kernel],
        strides=[down.stride, across.stride],
        pads=[down.before, across.before, down.after, across.after],
        dilations=[down.dilation, across.dilation],
    )
    ends = [(INPUT, problem.input_shape()), (OUTPUT, problem.output_shape())]
    [before], [after] = ([helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)] for name, shape in ends)
    constants = [numpy_helper.from_array(data.weights, "weights"), numpy_helper.from_array(data.bias, "bias")]
    graph = helper.make_graph([node], "conv", [before], [after], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
