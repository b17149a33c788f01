"""`scripts/peers/check`: convlab's outputs against exact ones, of the same ONNX files and the same photograph."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx

from . import light, workers
from .chains import CHAINS
from .contest import OWN_LIMIT, limit, relative_difference
from .engines import ENGINES, ONNX_RUNTIME
from .photograph import crops
from .rewrite import ModelError, depth
from .sources import RELEASE, Source, add_arguments, chain, light_model, network, numbers, sources, words
from .turns import WorkerError

NETWORKS = ("paper", "owt")


class CheckError(Exception):
    """Convlab or ONNX Runtime did not do what it was asked."""


class Row(NamedTuple):
    """What is known of a model."""

    name: str
    # Nodes that convlab takes for convolutions, and how many differ.
    convolutions: int
    distinct: int
    # Layers one after another, and what may differ.
    depth: int
    limit: float
    # Why convlab does not compute the model.
    refused: str | None
    # The largest for ONNX Runtime, image by image, and for each algorithm of convlab's, over threads and batches.
    differences: dict[str, float]

    def agrees(self) -> bool:
        own = (difference for name, difference in self.differences.items() if name != ONNX_RUNTIME)
        return all(difference <= self.limit for difference in own)


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/peers/check", description=__doc__)
    add_arguments(parser, f"--network {','.join(NETWORKS)}, {', '.join(CHAINS)} of peers/chains.py, --light")
    parser.add_argument(
        "--algorithm", type=words, help="as `convlab forward` takes them; default: every family and auto"
    )
    parser.add_argument("--batch", type=numbers, default=[1, 4], help="images; default: 1,4")
    parser.add_argument("--threads", type=numbers, default=[1, 2], help="default: 1,2")
    args = parser.parse_args()
    algorithms = args.algorithm or [*_families(), "auto"]

    rows: list[Row] = []
    failed = False
    for source in sources(args) or [*map(network, NETWORKS), *map(chain, CHAINS), *map(light_model, light.NAMES)]:
        try:
            rows.append(_check(source, algorithms, args.threads, args.batch))
        except (CheckError, ModelError) as error:
            print(f"check: {source.name}: {error}", file=sys.stderr)
            failed = True
    print()
    for line in _table(rows, algorithms):
        print(line)
    return 0 if not failed and all(row.agrees() for row in rows) else 1


def _check(source: Source, algorithms: list[str], threads: list[int], batches: list[int]) -> Row:
    """Computes a model in every way, and prints by how much each differs from the exact output."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        # What a batch is held against is computed image by image: so what was rewritten for it is checked as well.
        single = source.write(folder, 1)
        row = _described(source.name, single)
        print(f"{row.name}: {row.convolutions} convolutions, {row.distinct} distinct", flush=True)
        if row.refused is not None:
            print(f"  pass refused: {row.refused}", flush=True)
            return row
        images = crops(_input_shape(single), max(batches))
        other = _by_onnx_runtime(single, images)
        try:
            reference = _exact(single, images, folder)
        except WorkerError as error:
            print(f"  {error}; held against ONNX Runtime's outputs instead", flush=True)
            reference = other
        row.differences[ONNX_RUNTIME] = _difference(other, reference)
        print(f"  {ONNX_RUNTIME:16}{row.differences[ONNX_RUNTIME]:31.1e}", flush=True)
        for batch in batches:
            (folder / str(batch)).mkdir()
            model = source.write(folder / str(batch), batch)
            expected = reference[: len(reference) * batch // len(images)]
            np.save(folder / "images.npy", images[:batch])
            for algorithm, count in product(algorithms, threads):
                difference = _difference(_forward(model, algorithm, count, folder), expected)
                row.differences[algorithm] = max(difference, row.differences.get(algorithm, 0.0))
                beyond = "" if difference <= row.limit else "  beyond the limit"
                line = f"  {algorithm:16}batch {batch}, threads {count}{difference:12.1e}{row.limit:10.1e}{beyond}"
                print(line, flush=True)
        return row


def _described(name: str, model: Path) -> Row:
    """What convlab says of a model, without differences yet."""
    nodes = json.loads(_convlab("describe", str(model), "--json"))["nodes"]
    problems = [node["problem"] for node in nodes if node["operator"] == "Conv" and node["problem"] is not None]
    refusals = [f"{node['operator']} {node['not_computed']}" for node in nodes if node["not_computed"] is not None]
    layers = depth(onnx.load(model, load_external_data=False).graph)
    # Others may follow from it: that their shapes are not known.
    refused = refusals[0] if refusals else None
    return Row(name, len(problems), len(set(problems)), layers, limit(OWN_LIMIT, layers), refused, {})


def _input_shape(model: Path) -> list[int]:
    graph = onnx.load(model, load_external_data=False).graph
    return [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim]


def _exact(model: Path, images: np.ndarray, folder: Path) -> np.ndarray:
    """What comes of each image in f64.

    # Raises
    WorkerError for a node that is not computed in f64.
    """
    given, output = folder / "all.npy", folder / "exact.npy"
    np.save(given, images)
    workers.exact(model, given, output)
    array: np.ndarray = np.load(output)
    return array


def _by_onnx_runtime(model: Path, images: np.ndarray) -> np.ndarray:
    """What ONNX Runtime makes of each image, one at a time."""
    image = images[:1].copy()
    run = ENGINES[ONNX_RUNTIME].load_module().load(model, image, 1, "f32")
    outputs = []
    for i in range(len(images)):
        image[:] = images[i]
        # Kept here: the engine's own output is written again.
        outputs.append(run().copy())
    return np.concatenate(outputs)


def _forward(model: Path, algorithm: str, threads: int, folder: Path) -> np.ndarray:
    """What convlab makes of the images in `folder`."""
    output = folder / "output.npy"
    files = ["--model", str(model), "--input", str(folder / "images.npy"), "--output", str(output)]
    _convlab("forward", *files, "--algorithm", algorithm, "--threads", str(threads))
    array: np.ndarray = np.load(output)
    return array


def _difference(output: np.ndarray, reference: np.ndarray) -> float:
    if output.shape != reference.shape:
        raise CheckError(f"its output has the shape {output.shape}, the exact one {reference.shape}")
    # NaN is no difference within a limit either.
    return float(np.nan_to_num(relative_difference(output, reference), nan=np.inf))


def _families() -> list[str]:
    """The families of convlab's algorithms, each once."""
    listed: list[dict[str, Any]] = json.loads(_convlab("list", "algorithms", "--json"))
    return list(dict.fromkeys(algorithm["family"] for algorithm in listed))


def _convlab(*arguments: str) -> str:
    done = subprocess.run([str(RELEASE / "convlab"), *arguments], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        command = " ".join(arguments)
        raise CheckError(f"convlab {command} ended with code {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _table(rows: list[Row], algorithms: list[str]) -> Iterator[str]:
    """In Markdown, a line at a time."""
    columns = [ONNX_RUNTIME, *algorithms]
    yield f"| model | convolutions | distinct | depth | limit | {' | '.join(columns)} |"
    yield f"| --- |{' ---: |' * (4 + len(columns))}"
    for row in rows:
        cells = [f"{row.differences[column]:.1e}" for column in columns if row.refused is None]
        cells = cells or [f"refused: {row.refused}", *[""] * (len(columns) - 1)]
        numbers = f"{row.convolutions} | {row.distinct} | {row.depth} | {row.limit:.1e}"
        yield f"| {row.name} | {numbers} | {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
