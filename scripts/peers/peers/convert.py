"""Writes an ONNX model in an engine's own format, in a process of its own: some converters end theirs on an error."""

import os
import sys
from pathlib import Path

from .engines import ENGINES, LAYER_ENGINES


def main() -> None:
    engine, model, folder = sys.argv[1:]
    # Converters print to standard output too: what they say goes to standard error.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    converted = (ENGINES | LAYER_ENGINES)[engine].load_module().convert(Path(model), Path(folder))
    print(converted, file=answers)


if __name__ == "__main__":
    main()
