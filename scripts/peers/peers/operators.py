"""Operators in f64 in the place of those of ONNX's reference evaluator.

Some it computes one element at a time, or in f32 whatever it is given; and three are wrong there: its LRN goes over as
many channels as there are images, its BatchNormalization of before opset 14 mixes in the images' own statistics, its Softmax
of before opset 13 is of one dimension. What a class does not compute it refuses by NotImplementedError.
"""

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import product

import numpy as np
from onnx.reference.op_run import OpRun

from .oracle import convolve
from .rewrite import SOFTMAX_OF_ONE_AXIS
from .windows import Axis, padded, taps, windows

# What a node says of itself, defaults included; None is what it leaves open.
Attribute = int | float | str | list[int] | None

# Padding such that a stride of one keeps the size. Where it is odd, there is more of it after the input, or before.
SAME = ("SAME_UPPER", "SAME_LOWER")


class Conv(OpRun):
    def _run(self, x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None, **said: Attribute) -> tuple[np.ndarray]:
        result = convolve(x, w, said["group"], sliding(x.shape[2:], w.shape[2:], said))
        return (result if b is None else result + _by_channel(b, x.ndim),)


class ConvTranspose(OpRun):
    """Adds to where a convolution would read."""

    def _run(self, x: np.ndarray, w: np.ndarray, b: np.ndarray | None = None, **said: Attribute) -> tuple[np.ndarray]:
        groups, sizes = said["group"], x.shape[2:]
        steps = (said[name] or [1] * len(sizes) for name in ("strides", "dilations"))
        geometry = zip(sizes, w.shape[2:], *steps, strict=True)
        axes = [Axis.of((0, size), kernel, stride, 0, dilation) for size, kernel, stride, dilation in geometry]
        # All that windows reach; a part of it is the result.
        reached = np.array([axis.after for axis in axes]) + (said["output_padding"] or 0)
        result = np.zeros((len(x), groups, w.shape[1], *reached))
        seen = windows(result, axes)
        images = x.reshape(len(x), groups, len(w) // groups, -1)
        weights = w.reshape(groups, len(w) // groups, *w.shape[1:])
        for tap in product(*map(range, w.shape[2:])):
            to = seen[(slice(None), slice(None), slice(None), *tap)]
            to += (weights[(..., *tap)].swapaxes(1, 2) @ images).reshape(to.shape)
        part = _part(reached, sizes, said)
        result = result.reshape(len(x), -1, *reached)[(..., *part)]
        return (result if b is None else result + _by_channel(b, x.ndim),)


class MaxPool(OpRun):
    def _run(self, x: np.ndarray, **said: Attribute) -> tuple[np.ndarray]:
        if any(self.onnx_node.output[1:]):
            raise NotImplementedError("places of the largest are not computed")
        axes = sliding(x.shape[2:], said["kernel_shape"], said)
        return (windows(padded(x, axes, x.min()), axes).max(taps(x, axes)),)


class AveragePool(OpRun):
    def _run(self, x: np.ndarray, **said: Attribute) -> tuple[np.ndarray]:
        axes = sliding(x.shape[2:], said["kernel_shape"], said)
        # What counts: the input, or padding as well, but not what only a size that is rounded up reaches.
        ends = [(0, axis.input) for axis in axes]
        if said["count_include_pad"]:
            afters = [axis.after for axis in axes] if said["auto_pad"] in SAME else _pads(len(axes), said)[1]
            ends = [(-axis.before, axis.input + after) for axis, after in zip(axes, afters, strict=True)]
        counts = reduce(np.multiply.outer, map(_taps_between, axes, ends))
        return (windows(padded(x, axes), axes).sum(taps(x, axes)) / counts,)


class LRN(OpRun):
    def _run(self, x: np.ndarray, size: int, **said: Attribute) -> tuple[np.ndarray]:
        alpha, beta, bias = (float(said[name]) for name in ("alpha", "beta", "bias"))
        # Of an even number of channels there is one more after a channel than before it.
        around = [(0, 0), ((size - 1) // 2, size // 2), *[(0, 0)] * (x.ndim - 2)]
        squares = np.pad(x**2, around)
        sums = sum(squares[:, first : first + x.shape[1]] for first in range(size))
        return (x / (bias + alpha / size * sums) ** beta,)


class BatchNormalization(OpRun):
    def _run(self, x: np.ndarray, *constants: np.ndarray, epsilon: float, **said: Attribute) -> tuple[np.ndarray]:
        if said.get("training_mode"):
            raise NotImplementedError("training is not computed")
        scale, bias, mean, variance = (_by_channel(constant, x.ndim) for constant in constants)
        return ((x - mean) * (scale / np.sqrt(variance + float(epsilon))) + bias,)


class Softmax(OpRun):
    def _run(self, x: np.ndarray, axis: int) -> tuple[np.ndarray]:
        of_one = self.run_params["opsets"][""] >= SOFTMAX_OF_ONE_AXIS
        axes = axis if of_one else tuple(range(axis % x.ndim, x.ndim))
        powers = np.exp(x - x.max(axes, keepdims=True))
        return (powers / powers.sum(axes, keepdims=True),)


class Erf(OpRun):
    def _run(self, x: np.ndarray) -> tuple[np.ndarray]:
        return (_erf(x),)


class Gelu(OpRun):
    def _run(self, x: np.ndarray, approximate: str) -> tuple[np.ndarray]:
        if approximate == "tanh":
            return (x / 2 * (1 + np.tanh((2 / math.pi) ** 0.5 * (x + 0.044715 * x**3))),)
        return (x / 2 * (1 + _erf(x / 2**0.5)),)


OPERATORS = [Conv, ConvTranspose, MaxPool, AveragePool, LRN, BatchNormalization, Softmax, Erf, Gelu]

# Others that the evaluator computes in f32, at least on their way.
ROUNDING = ("CausalConvWithState", "GridSample", "LinearAttention")


_erf = np.vectorize(math.erf, otypes=[np.float64])


def sliding(sizes: Sequence[int], kernel: Sequence[int], said: Mapping[str, Attribute]) -> list[Axis]:
    """How the windows of a node slide over an input of `sizes`."""
    inputs, kernels = np.array(sizes), np.array(kernel)
    strides, dilations = (np.array(said.get(name) or [1] * len(inputs)) for name in ("strides", "dilations"))
    reach = (kernels - 1) * dilations + 1
    if said["auto_pad"] in SAME:
        outputs = -(-inputs // strides)
        padding = np.maximum((outputs - 1) * strides + reach - inputs, 0)
        befores = padding // 2 if said["auto_pad"] == "SAME_UPPER" else padding - padding // 2
    else:
        befores, afters = _pads(len(inputs), said)
        room = inputs + befores + afters - reach
        outputs = room // strides + 1
        if said.get("ceil_mode"):
            # A window more for what is left, if it begins in the input or before.
            outputs += (room % strides > 0) & (outputs * strides < inputs + befores)
    ends = zip(inputs, outputs, strict=True)
    return [Axis.of(*of) for of in zip(ends, kernels, strides, befores, dilations, strict=True)]


def _pads(rank: int, said: Mapping[str, Attribute]) -> np.ndarray:
    """Padding as it is said: before, and after."""
    return np.array(said["pads"] or [0] * 2 * rank).reshape(2, rank)


def _taps_between(axis: Axis, ends: tuple[int, int]) -> np.ndarray:
    """How many taps of each window are between two places, of which the input's first is 0."""
    places = np.arange(axis.output)[:, None] * axis.stride + np.arange(axis.kernel) * axis.dilation - axis.before
    return ((places >= ends[0]) & (places < ends[1])).sum(1)


def _part(reached: np.ndarray, inputs: Sequence[int], said: Mapping[str, Attribute]) -> list[slice]:
    """What of all that windows reach is the result of a transposed convolution."""
    befores, afters = _pads(len(inputs), said)
    outputs = said["output_shape"]
    if said["auto_pad"] in SAME:
        outputs = outputs or np.multiply(inputs, said["strides"] or 1)
    if outputs is not None:
        padding = reached - outputs
        if padding.min() < 0:
            raise NotImplementedError("a result that is larger than what windows reach is not computed")
        afters = padding // 2 if said["auto_pad"] != "SAME_UPPER" else padding - padding // 2
        befores = padding - afters
    return [slice(before, end - after) for before, end, after in zip(befores, reached, afters, strict=True)]


def _by_channel(constant: np.ndarray, rank: int) -> np.ndarray:
    """A number for each channel, as a factor or summand of images."""
    return constant.reshape(-1, *[1] * (rank - 2))
