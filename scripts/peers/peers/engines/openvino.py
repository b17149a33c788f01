"""OpenVINO's CPU plugin: in f32 by its hint, or in bf16, which is its default where the processor has it."""

from pathlib import Path

import numpy as np
import openvino as ov
from openvino import properties
from openvino.properties import hint

from . import Pass


def describe(precision: str) -> str:
    chosen = "INFERENCE_PRECISION_HINT f32" if precision == "f32" else "precision left to the default"
    return f"OpenVINO {ov.__version__.split('-')[0]}, {precision}, LATENCY, {chosen}"


def convert(model: Path, folder: Path) -> Path:
    return model


def load(model: Path, images: np.ndarray, threads: int, precision: str) -> Pass:
    settings = {
        hint.performance_mode: hint.PerformanceMode.LATENCY,
        properties.inference_num_threads: threads,
    }
    if precision == "f32":
        settings[hint.inference_precision] = ov.Type.f32
    compiled = ov.Core().compile_model(model, "CPU", settings)
    used = compiled.get_property(hint.inference_precision).to_string()
    if used != precision:
        raise RuntimeError(f"this processor makes OpenVINO compute in {used}, not in {precision}")
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(images, shared_memory=True))

    def run() -> np.ndarray:
        request.infer()
        output: np.ndarray = request.get_output_tensor().data
        return output

    return run
