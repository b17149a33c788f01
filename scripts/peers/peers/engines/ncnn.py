"""ncnn on the CPU, Winograd on. It has no batches: a batch is one image after another."""

from pathlib import Path

import ncnn
import numpy as np

from . import INPUT, OUTPUT, Pass
from .ncnn_format import write_model


def describe(precision: str) -> str:
    return f"ncnn {ncnn.__version__}, {precision}, Winograd and packed layouts, images of a batch one after another"


def convert(model: Path, folder: Path) -> Path:
    return write_model(model, folder)


def load(model: Path, images: np.ndarray, threads: int, precision: str) -> Pass:
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_winograd_convolution = True
    # On by default, these would round weights or activations to fewer bits.
    for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic", "bf16_packed", "bf16_storage"):
        setattr(net.opt, f"use_{option}", False)
    if net.load_param(str(model)) != 0 or net.load_model(str(model.with_suffix(".bin"))) != 0:
        raise RuntimeError("ncnn cannot read the model that was written for it")
    inputs = [ncnn.Mat(image).clone() for image in images]

    def run_one(image: ncnn.Mat) -> np.ndarray:
        with net.create_extractor() as extractor:
            extractor.input(INPUT, image)
            code, output = extractor.extract(OUTPUT)
            if code != 0:
                raise RuntimeError(f"ncnn ended with code {code}")
            return np.array(output)

    return lambda: np.stack([run_one(image) for image in inputs])
