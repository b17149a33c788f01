"""MNN's CPU backend, by its module interface."""

from pathlib import Path

import MNN
import numpy as np
from MNN import expr, nn

from . import Pass


def describe(precision: str) -> str:
    return f"MNN {MNN.version()}, {precision}, precision high, memory high, power high"


def convert(model: Path, folder: Path) -> Path:
    # The converter itself. The `mnnconvert` command around it, and any import of MNN.tools, installs packages that
    # are in nobody's requirements and reports its use to a server.
    import _tools  # noqa: PLC0415

    converted = folder / f"{model.stem}.mnn"
    files = ["--modelFile", str(model), "--MNNModel", str(converted)]
    _tools.mnnconvert(["mnnconvert", "-f", "ONNX", *files, "--bizCode", "MNN"])
    return converted


def load(model: Path, images: np.ndarray, threads: int, precision: str) -> Pass:
    settings = {"backend": 0, "numThread": threads, "precision": "high", "memory": "high", "power": "high"}
    manager = nn.create_runtime_manager((settings,))
    # Without names these are the model's own input and output.
    module = nn.load_module_from_file(str(model), [], [], runtime_manager=manager, shape_mutable=False)
    variable = expr.placeholder(list(images.shape), expr.NCHW, expr.float)
    variable.write(images)

    def run() -> np.ndarray:
        output: np.ndarray = module.forward(variable).read()
        return output

    return run
