"""ncnn on the CPU, Winograd on. It has no batches: a batch is one image after another."""

import subprocess
from importlib.util import find_spec
from pathlib import Path

import ncnn
import numpy as np
import onnx

from ..rewrite import fix
from . import Pass

# What its converter calls the model's two ends.
INPUT, OUTPUT = "in0", "out0"


def describe(precision: str) -> str:
    return f"ncnn {ncnn.__version__}, {precision}, Winograd and packed layouts, images of a batch one after another"


def convert(model: Path, folder: Path) -> Path:
    single = onnx.load(model)
    fix(single, 1)
    path = folder / "ncnn.onnx"
    onnx.save(single, path)
    sizes = [dim.dim_value for dim in single.graph.input[0].type.tensor_type.shape.dim]
    # The program itself: the package around it imports PyTorch.
    package = find_spec("pnnx")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("pnnx is not installed")
    shape = ",".join(map(str, sizes))
    command = [Path(package.origin).with_name("pnnx"), path, f"inputshape=[{shape}]", "fp16=0"]
    subprocess.run(command, check=True)
    return folder / "ncnn.ncnn.param"


def load(model: Path, images: np.ndarray, threads: int, precision: str, *, winograd: bool = True) -> Pass:
    # The layers begin at the third line, each with its kind. What its converter does not know it writes as it is.
    kinds = {line.split()[0] for line in model.read_text().splitlines()[2:]}
    unknown = sorted(kind for kind in kinds if ncnn.layer_to_index(kind) < 0)
    if unknown:
        raise RuntimeError(f"ncnn has no {', '.join(unknown)} as its converter writes it")
    net = ncnn.Net()
    net.opt.num_threads = threads
    net.opt.use_winograd_convolution = winograd
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
