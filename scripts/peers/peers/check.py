"""`scripts/peers/check`: convlab's outputs against ONNX Runtime's, both of the same ONNX files.

The models are convlab's own two networks, exported, and three chains that are none of them (`peers/chains.py`).
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from .chains import CHAINS
from .comparison import OWN_LIMIT, RELEASE, ComparisonError, export, noise, relative_difference
from .engines import ENGINES, REFERENCE

NETWORKS = ("paper", "owt")


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/peers/check", description=__doc__)
    parser.add_argument("--algorithm", nargs="+", default=["auto"], help="as `convlab forward` takes it; default: auto")
    parser.add_argument("--batch", type=int, default=3, help="images; default: 3")
    args = parser.parse_args()

    print(f"{'model':10}{'algorithm':16}{'difference':>12}{'limit':>8}")
    agree = True
    for name in (*NETWORKS, *CHAINS):
        with tempfile.TemporaryDirectory() as folder:
            try:
                agree &= _check(name, args.batch, args.algorithm, Path(folder))
            except ComparisonError as error:
                print(f"check: {name}: {error}", file=sys.stderr)
                agree = False
    return 0 if agree else 1


def _check(name: str, batch: int, algorithms: list[str], folder: Path) -> bool:
    """Whether convlab computes a model by each of `algorithms` as ONNX Runtime does; prints by how much it differs."""
    model = CHAINS[name](folder, batch) if name in CHAINS else export(name, batch, folder)
    images = noise(model)
    np.save(folder / "images.npy", images)
    threads = os.cpu_count() or 1
    run = ENGINES[REFERENCE].load_module().load(model, images, threads, "f32")
    # Kept here: the engine's own output goes with the engine.
    reference = run().copy()
    agree = True
    for algorithm in algorithms:
        difference = relative_difference(_forward(model, algorithm, folder), reference)
        # NaN is no difference within a limit either.
        within = difference <= OWN_LIMIT
        beyond = "" if within else "  beyond the limit"
        print(f"{name:10}{algorithm:16}{difference:12.1e}{OWN_LIMIT:8.0e}{beyond}", flush=True)
        agree &= within
    return agree


def _forward(model: Path, algorithm: str, folder: Path) -> np.ndarray:
    """What convlab makes of the images in `folder`."""
    output = folder / "output.npy"
    files = ["--model", str(model), "--input", str(folder / "images.npy"), "--output", str(output)]
    command = [str(RELEASE / "convlab"), "forward", *files, "--algorithm", algorithm]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise ComparisonError(f"convlab forward ended with code {done.returncode}: {done.stderr.strip()}")
    array: np.ndarray = np.load(output)
    return array


if __name__ == "__main__":
    sys.exit(main())
