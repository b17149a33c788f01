"""The exact result of a convolution, as far as 64-bit floats are exact: what single layers are held against."""

from collections.abc import Sequence

import numpy as np

from .problems import Data, Problem
from .windows import Axis, padded, windows

# Bytes of the columns that are multiplied at a time.
COLUMNS = 256 << 20


def exact(problem: Problem, data: Data) -> np.ndarray:
    """The problem's output, `[n, c, h, w]`."""
    bias = data.bias.astype(np.float64)[:, None, None]
    return convolve(data.images, data.weights, problem.groups, problem.axes) + bias


def convolve(images: np.ndarray, weights: np.ndarray, groups: int, axes: Sequence[Axis]) -> np.ndarray:
    """Sums of products in f64, `[n, c, ...]`: windows as columns, a product of matrices for each image and group."""
    inputs, outputs = images.shape[1] // groups, len(weights) // groups
    matrices = weights.astype(np.float64, copy=False).reshape(groups, outputs, -1)
    height, *row = (axis.output for axis in axes)
    result = np.empty((len(images), len(weights), height, *row))
    rows = max(COLUMNS // (8 * matrices.shape[2] * int(np.prod(row))), 1)
    for image, to in zip(images, result, strict=True):
        source = padded(image.astype(np.float64, copy=False), axes)
        for group, matrix in enumerate(matrices):
            seen = windows(source[group * inputs : (group + 1) * inputs], axes)
            filters = slice(group * outputs, (group + 1) * outputs)
            for top in range(0, height, rows):
                chunk = seen[(..., slice(top, top + rows), *(slice(None) for _ in row))]
                columns = chunk.reshape(matrix.shape[1], -1)
                to[filters, top : top + rows] = (matrix @ columns).reshape(outputs, -1, *row)
    return result
