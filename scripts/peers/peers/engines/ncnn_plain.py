"""ncnn without Winograd."""

from pathlib import Path

import ncnn as library
import numpy as np

from . import Pass, ncnn
from .ncnn import convert

__all__ = ["convert", "describe", "load"]


def describe(precision: str) -> str:
    return f"ncnn {library.__version__}, {precision}, no Winograd, images of a batch one after another"


def load(model: Path, images: np.ndarray, threads: int, precision: str) -> Pass:
    return ncnn.load(model, images, threads, precision, winograd=False)
