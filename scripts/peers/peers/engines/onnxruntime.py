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
    # No warnings: old models have constants that nobody reads.
    options.log_severity_level = 3
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (before,), (after,) = session.get_inputs(), session.get_outputs()
    # Its shape is not always known beforehand.
    [output] = session.run([after.name], {before.name: images})
    value = ort.OrtValue.ortvalue_from_numpy(output)
    binding = session.io_binding()
    binding.bind_cpu_input(before.name, images)
    binding.bind_ortvalue_output(after.name, value)

    def run() -> np.ndarray:
        session.run_with_iobinding(binding)
        output: np.ndarray = value.numpy()
        return output

    return run
