"""The other engines: those in Python, one module each, and programs of their own.

A module has `describe(precision)`, name, version and settings; `convert(model, folder)`, the ONNX file in the
engine's own format; and `load(model, images, threads, precision)`, which returns what computes the model's output, images
first, from `images`, `[n, c, h, w]`, which the caller keeps. Everything that an engine lets one do beforehand is done by
`load`.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import numpy as np

Pass = Callable[[], np.ndarray]


class EngineModule(Protocol):
    """What a module of this package has."""

    def describe(self, precision: str) -> str: ...

    def convert(self, model: Path, folder: Path) -> Path: ...

    def load(self, model: Path, images: np.ndarray, threads: int, precision: str) -> Pass: ...


class Engine(NamedTuple):
    """One engine in one precision."""

    module: str
    precision: str

    def load_module(self) -> EngineModule:
        """Imports the engine: only the process that runs it does, for they bring their own threads and allocators."""
        return cast("EngineModule", import_module(f"{__name__}.{self.module}"))


# By the name of their records. ONNX Runtime's output is what others are held against where there is no exact one.
ONNX_RUNTIME = "peer/onnxruntime"
ENGINES = {
    ONNX_RUNTIME: Engine("onnxruntime", "f32"),
    "peer/openvino": Engine("openvino", "f32"),
    "peer-bf16/openvino": Engine("openvino", "bf16"),
    "peer/mnn": Engine("mnn", "f32"),
    "peer/ncnn": Engine("ncnn", "f32"),
}

# Those that compute single layers.
LAYER_ENGINES = {name: engine for name, engine in ENGINES.items() if engine.precision == "f32"} | {
    "peer/ncnn-plain": Engine("ncnn_plain", "f32"),
}


# What holds oneDNN, and OpenVINO's, to an instruction set; no other engine can be held to one.
HELD = {"avx2": ("ONEDNN_MAX_CPU_ISA", "AVX2")}
HOLDABLE = ("peer/openvino", "peer/onednn", "peer/onednn-omp")


class Program(NamedTuple):
    """A worker that `scripts/peers/setup` builds, for single layers, in f32."""

    # From scripts/peers.
    path: str
    # What it reads of what peers/problems.py writes.
    model: str
    # Whether it has threads beside those that compute.
    confined: bool = False


PROGRAMS = {
    "peer/onednn": Program("bin/onednn", "conv.txt", confined=True),
    "peer/onednn-omp": Program("bin/onednn-omp", "conv.txt"),
    "peer/tract": Program("bin/tract", "conv.onnx"),
    "peer/rten": Program("bin/rten", "conv.onnx"),
    "peer/candle": Program("bin/candle", "conv.txt"),
}
