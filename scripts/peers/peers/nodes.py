"""`scripts/peers/nodes`: ONNX's node tests of the operators that convlab computes: which pass, which it refuses and why."""

import argparse
import re
import subprocess
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import numpy_helper

from .sources import RELEASE

# What a pass is made of: crates/conv-net/DESIGN.md.
OPERATORS = (
    *("Conv", "ConvTranspose", "BatchNormalization", "Gemm", "MatMul", "LRN", "Softmax"),
    *("Add", "Sum", "Sub", "Mul", "Div", "Relu", "LeakyRelu", "PRelu", "Clip", "Sigmoid", "HardSigmoid", "HardSwish"),
    *("Mish", "Tanh", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool", "ReduceMean"),
    *("Pad", "Resize", "Upsample", "Concat", "Split", "Slice", "Flatten", "Reshape", "Squeeze", "Unsqueeze"),
    *("Transpose", "Expand", "Dropout", "Identity", "Cast"),
)

# Where convlab does as ONNX Runtime does and not as the test asks.
KNOWN = {
    "test_resize_downsample_scales_linear_align_corners": "known: as in ONNX Runtime, corners are those of whole pixels",
}

# Exit code of a refusal (README): bad usage or bad input.
REFUSED = 2


class Outcome(NamedTuple):
    """What became of one test."""

    verdict: str
    reason: str = ""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/peers/nodes", description=__doc__)
    parser.add_argument("--operator", nargs="+", default=OPERATORS, help="default: all that convlab computes")
    parser.add_argument("--verbose", action="store_true", help="a line for each test that does not pass")
    args = parser.parse_args()

    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    for operator, case in cases(args.operator):
        outcome = judge(case)
        if outcome.verdict == "wrong" and case.name in KNOWN:
            outcome = Outcome("wrong", KNOWN[case.name])
        outcomes[operator].append(outcome)
        if args.verbose and outcome.verdict != "passes":
            print(f"{case.name}: {outcome.verdict}: {outcome.reason}", file=sys.stderr)
    print(table(outcomes))
    wrong = {outcome.reason for each in outcomes.values() for outcome in each if outcome.verdict == "wrong"}
    return 1 if wrong - set(KNOWN.values()) else 0


def cases(operators: Iterable[str]) -> Iterator[tuple[str, "onnx.backend.test.case.test_case.TestCase"]]:
    """The node tests whose graph is one node of one of `operators`, by operator."""
    for case in _collected():
        nodes = case.model.graph.node
        if len(nodes) == 1 and nodes[0].domain == "" and nodes[0].op_type in operators:
            yield nodes[0].op_type, case


@cache
def _collected() -> list["onnx.backend.test.case.test_case.TestCase"]:
    """All node tests, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases  # noqa: PLC0415

        return sorted(collect_testcases(None), key=lambda case: case.name)


def judge(case: "onnx.backend.test.case.test_case.TestCase") -> Outcome:
    """Runs a test as it is written and, where that is refused, with all inputs but the first as constants: a node test
    has the weights of a convolution among its inputs, a model has them among its constants."""
    inputs, outputs = ([_array(value) for value in values] for values in case.data_sets[0])
    if any(array is None or array.dtype.kind not in "fiub" for array in (*inputs, *outputs)):
        return Outcome("refused", "values that are no array of NumPy's own types")
    first = _run(case.model, inputs, outputs, case)
    if first.verdict != "refused" or inputs[0].dtype.kind != "f":
        return first
    return _run(with_constants(case.model, inputs), inputs[:1], outputs, case)


def _array(value: object) -> np.ndarray | None:
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, np.ndarray | np.generic) else None


def with_constants(model: onnx.ModelProto, inputs: list) -> onnx.ModelProto:
    """`model` with its second and later inputs as initializers of the values `inputs`."""
    fixed = onnx.ModelProto()
    fixed.CopyFrom(model)
    for given, value in list(zip(fixed.graph.input, inputs, strict=False))[1:]:
        fixed.graph.initializer.append(numpy_helper.from_array(value, given.name))
        fixed.graph.input.remove(given)
    return fixed


def _run(
    model: onnx.ModelProto, inputs: list, outputs: list, case: "onnx.backend.test.case.test_case.TestCase"
) -> Outcome:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        onnx.save(model, folder / "model.onnx")
        given = []
        for i, (value, array) in enumerate(zip(model.graph.input, inputs, strict=False)):
            np.save(folder / f"input{i}.npy", array)
            given += ["--input", f"{value.name}={folder}/input{i}.npy" if len(inputs) > 1 else f"{folder}/input{i}.npy"]
        command = [RELEASE / "convlab", "forward", "--model", folder / "model.onnx", *given]
        done = subprocess.run(
            [*command, "--output", folder / "y.npy", "--threads", "1"], check=False, capture_output=True, text=True
        )
        if done.returncode == REFUSED:
            return Outcome("refused", reason(done.stderr))
        if done.returncode != 0:
            return Outcome("wrong", f"exit code {done.returncode}: {done.stderr.strip()}")
        names = [value.name for value in model.graph.output]
        files = [folder / "y.npy"] if len(names) == 1 else [folder / f"y-{name}.npy" for name in names]
        for file, expected in zip(files, outputs, strict=False):
            if not file.exists():
                return Outcome("wrong", f"no output {file.name}")
            found = np.load(file)
            if found.shape != expected.shape:
                return Outcome("wrong", f"shape {found.shape}, not {expected.shape}")
            exact = expected.astype(np.float64)
            if not np.allclose(found, exact, case.rtol, case.atol, equal_nan=True):
                return Outcome("wrong", f"differs by {np.nanmax(np.abs(found - exact)):.1e}")
    return Outcome("passes")


def reason(said: str) -> str:
    """Why convlab refused a model, by what it said: without the names of the file and of the node, which differ from
    test to test, and without its advice."""
    line = next(iter(said.strip().splitlines()), "").removeprefix("convlab: ").partition("; `convlab bench`")[0]
    line = re.sub(r"^\S*model\.onnx(: | cannot be taken as an ONNX model: )", "", line)
    return re.sub(r"^(model/\S+ |the node '[^']*' )?\((\w+)\) ", "", line)


def table(outcomes: dict[str, list[Outcome]]) -> str:
    """A Markdown table: a row for each operator."""
    lines = ["| operator | pass | refused | wrong | why |", "| --- | ---: | ---: | ---: | --- |"]
    total: Counter[str] = Counter()
    for operator, each in sorted(outcomes.items()):
        count = Counter(outcome.verdict for outcome in each)
        total += count
        reasons = Counter(outcome.reason for outcome in each if outcome.verdict != "passes")
        why = "; ".join(f"{text} ({times})" for text, times in reasons.most_common())
        lines.append(f"| {operator} | {count['passes']} | {count['refused']} | {count['wrong']} | {why} |")
    lines.append(f"| all | {total['passes']} | {total['refused']} | {total['wrong']} | |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
