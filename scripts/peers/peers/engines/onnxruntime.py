"""ONNX Runtime, its default CPU provider."""

from pathlib import Path

import numpy as np
import onnxruntime as ort

from . import Pass


def describe(precision: str) -> str:
    return f"ONNX Runtime {ort.__version__}, {precision}, CPUExecutionProvider, all graph optimisations"


def convert(model: Path, folder: Path) -> Path:
    return model


def load(model: Path, images: np.ndarray, threads: int, precision: str) -> Pass:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input(session.get_inputs()[0].name, images)
    output = session.get_outputs()[0]
    value = ort.OrtValue.ortvalue_from_numpy(np.empty(output.shape, np.float32))
    binding.bind_ortvalue_output(output.name, value)

    def run() -> np.ndarray:
        session.run_with_iobinding(binding)
        probabilities: np.ndarray = value.numpy()
        return probabilities

    return run
