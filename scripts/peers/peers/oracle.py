"""The exact result of a convolution, as far as 64-bit floats are exact: what single layers are held against."""

import numpy as np

from .problems import Data, Problem

# Bytes of the columns that are multiplied at a time.
COLUMNS = 256 << 20


def exact(problem: Problem, data: Data) -> np.ndarray:
    """Sums of products in f64, `[n, c, h, w]`: windows as columns, a product of matrices for each image and group."""
    down, across = problem.axes
    padding = [(0, 0), *((axis.before, axis.after) for axis in problem.axes)]
    inputs, outputs = (count // problem.groups for count in (problem.channels, problem.filters))
    weights = data.weights.astype(np.float64).reshape(problem.groups, outputs, -1)
    result = np.empty(problem.output_shape())
    row_bytes = 8 * weights.shape[2] * across.output
    rows = max(COLUMNS // row_bytes, 1)
    for image, to in zip(data.images, result, strict=True):
        padded = np.pad(image.astype(np.float64), padding)
        for group in range(problem.groups):
            part = padded[group * inputs : (group + 1) * inputs]
            windows = _windows(part, problem)
            filters = slice(group * outputs, (group + 1) * outputs)
            for top in range(0, down.output, rows):
                chunk = windows[:, :, :, top : top + rows]
                columns = chunk.reshape(weights.shape[2], -1)
                to[filters, top : top + rows] = (weights[group] @ columns).reshape(outputs, -1, across.output)
    result += data.bias.astype(np.float64)[:, None, None]
    return result


def _windows(image: np.ndarray, problem: Problem) -> np.ndarray:
    """What each tap reads, without copying: `[channel, tap down, tap across, output down, output across]`."""
    channel, row, column = image.strides
    down, across = problem.axes
    shape = (len(image), down.kernel, across.kernel, down.output, across.output)
    strides = (channel, row * down.dilation, column * across.dilation, row * down.stride, column * across.stride)
    return np.lib.stride_tricks.as_strided(image, shape, strides, writeable=False)
