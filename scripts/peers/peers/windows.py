"""Windows that slide over an array, along each of its last dimensions: where they lie, and what they read."""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np


class Axis(NamedTuple):
    """One direction in which windows slide."""

    input: int
    output: int
    kernel: int
    stride: int
    # Padding before the input, and after it as much as the last window reads.
    before: int
    after: int
    # Distance of two taps.
    dilation: int

    @classmethod
    def of(cls, sizes: tuple[int, int], kernel: int, stride: int, before: int, dilation: int) -> Self:
        """With so many elements before and windows after; what the last window reads behind the input follows."""
        size, output = sizes
        reach = (output - 1) * stride + (kernel - 1) * dilation + 1
        return cls(size, output, kernel, stride, before, max(reach - size - before, 0), dilation)


def padded(array: np.ndarray, axes: Sequence[Axis], value: float = 0) -> np.ndarray:
    """`array` with `value` wherever windows reach beyond it."""
    others = [(0, 0)] * (array.ndim - len(axes))
    return np.pad(array, [*others, *((axis.before, axis.after) for axis in axes)], constant_values=value)


def windows(array: np.ndarray, axes: Sequence[Axis]) -> np.ndarray:
    """What each tap reads of an array that is padded, without copying: `[..., taps, outputs]`, of each as many
    dimensions as `axes`."""
    others = array.ndim - len(axes)
    steps = array.strides[others:]
    shape = [*(axis.kernel for axis in axes), *(axis.output for axis in axes)]
    strides = [step * axis.dilation for step, axis in zip(steps, axes, strict=True)]
    strides += [step * axis.stride for step, axis in zip(steps, axes, strict=True)]
    shape, strides = [*array.shape[:others], *shape], [*array.strides[:others], *strides]
    return np.lib.stride_tricks.as_strided(array, shape, strides)


def taps(array: np.ndarray, axes: Sequence[Axis]) -> tuple[int, ...]:
    """The dimensions of `windows(array, axes)` that are those of a window."""
    return tuple(range(array.ndim - len(axes), array.ndim))
