"""Where models come from: convlab's own networks, files, the `onnx` package, and chains that are written here."""

import argparse
import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import onnx
from google.protobuf.message import DecodeError

from . import light
from .chains import CHAINS
from .rewrite import ModelError, fix

WORKSPACE = Path(__file__).resolve().parents[3]
RELEASE = Path(os.environ.get("CARGO_TARGET_DIR", WORKSPACE / "target")) / "release"

# Of weights, images and the order of turns.
SEED = 1


class Source(NamedTuple):
    """A model that is yet to be written."""

    # Of its file and its records.
    name: str
    # Writes it into a folder, for a number of images, and returns the file; ModelError if it cannot.
    write: Callable[[Path, int], Path]


def add_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    """What chooses models; `default` says what is taken if nothing does."""
    group = parser.add_argument_group("models", f"default: {default}")
    group.add_argument("--network", type=words, default=[], help="of `convlab list networks`, exported")
    group.add_argument("--model", type=Path, nargs="+", default=[], metavar="FILE.onnx", help="of one input")
    group.add_argument(
        "--shape", type=_sizes, metavar="SIZES", help="that models leave open: 1x3x320x320, images first"
    )
    group.add_argument(
        "--light",
        type=words,
        nargs="?",
        const=list(light.NAMES),
        default=[],
        metavar="NAMES",
        help=f"those of the onnx package, with seeded weights: all, or some of {','.join(light.NAMES)}",
    )


def sources(args: argparse.Namespace) -> list[Source]:
    """What the arguments choose."""
    files = [Source(path.stem, partial(_copy, path, args.shape)) for path in args.model]
    return [*map(network, args.network), *files, *map(light_model, args.light)]


def network(name: str) -> Source:
    """One of convlab's own, with synthetic weights."""
    return Source(name, partial(_export, name))


def light_model(name: str) -> Source:
    """One of the `onnx` package's."""
    return Source(f"light_{name}", partial(_write_light, name))


def chain(name: str) -> Source:
    """One of `peers/chains.py`."""
    return Source(name, CHAINS[name])


def words(text: str) -> list[str]:
    return text.split(",")


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _sizes(text: str) -> list[int]:
    return [int(word) for word in text.split("x")]


def _export(name: str, folder: Path, batch: int) -> Path:
    model = folder / f"{name}.onnx"
    options = ["--network", name, "--seed", str(SEED), "--batch", str(batch), "--onnx", str(model)]
    command = [str(RELEASE / "convlab"), "export", *options]
    exported = subprocess.run(command, check=False, capture_output=True, text=True)
    if exported.returncode != 0:
        raise ModelError(f"convlab export ended with code {exported.returncode}: {exported.stderr.strip()}")
    return model


def _copy(path: Path, sizes: list[int] | None, folder: Path, batch: int) -> Path:
    try:
        return _write(onnx.load(path), path.stem, folder, batch, sizes)
    except (OSError, ValueError, DecodeError, onnx.shape_inference.InferenceError) as error:
        raise ModelError(f"{path}: {error}") from error


def _write_light(name: str, folder: Path, batch: int) -> Path:
    return _write(light.load(name), f"light_{name}", folder, batch)


def _write(model: onnx.ModelProto, name: str, folder: Path, batch: int, sizes: list[int] | None = None) -> Path:
    fix(model, batch, sizes)
    path = folder / f"{name}.onnx"
    onnx.save(model, path)
    return path
