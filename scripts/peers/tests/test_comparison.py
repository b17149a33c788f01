"""What whole passes are held against, and the records that come of it."""

import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import numpy as np

from peers import workers
from peers.comparison import Comparison, ComparisonError, Subject
from peers.problems import drawn, parse, write
from peers.records import Record
from peers.turns import Turn, Worker, WorkerError

PROBLEM = parse("x", "mb2ic3ih5oc2oh5kh3ph1", [])

# Writes what it was given, and says of itself what convlab's own says.
PROGRAM = """
import json, shutil, sys
shutil.copy(*sys.argv[1:])
print("ready", flush=True)
for line in sys.stdin: print(int(line) * 1_000_000, flush=True)
fields = ("kind", "name", "isa", "batch", "threads", "commit", "rustc", "cpu", "date")
print(json.dumps(dict.fromkeys(fields, "x") | {"gflops_effective": 1.0, "median_ns": 2.0, "interval_ns": [1, 3]}))
"""


class Undisturbed(Worker):
    """Whatever the machine does."""

    def quiet(self) -> list[Turn]:
        return [turn._replace(ran=turn.seconds) for turn in self.turns]


class Comparisons(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        write(PROBLEM, drawn(PROBLEM), self.folder)
        self.model = self.folder / "conv.onnx"

    def _records(self, subject: Subject, errors: dict[str, float], engines: list[str]) -> dict[str, Record]:
        """The records by algorithm, of engines whose outputs are off by `errors`."""

        def start(name: str, *_: object) -> workers.Start:
            given = self.folder / f"{name.replace('/', '-')}.npy"
            np.save(given, np.ones((2, 2, 5, 5)) * (1 + errors[name]))
            return lambda output: [sys.executable, "-c", PROGRAM, str(given), str(output)]

        with (
            mock.patch.object(workers, "own", start),
            mock.patch.object(workers, "python", start),
            mock.patch("peers.contest.Worker", Undisturbed),
        ):
            records = Comparison(subject, 1, engines).measure(0.1)
        return {record["algorithm"]: record for record in records[1:]} | {"auto": records[0]}

    def test_a_convolution_is_computed_in_f64(self) -> None:
        subject = Subject.of(self.model)
        self.assertEqual(np.load(subject.images).dtype, np.float32)
        self.assertIsNotNone(subject.exact)
        exact = np.load(subject.exact or "")
        self.assertEqual((exact.dtype, exact.shape), (np.float64, (2, 2, 5, 5)))

    def test_all_engines_are_held_against_the_exact_output(self) -> None:
        subject = Subject.of(self.model)
        np.save(subject.exact or "", np.ones((2, 2, 5, 5)))
        engines = ["peer/mnn", "peer/onnxruntime", "peer/openvino"]
        errors = {"auto": 1e-6, "peer/mnn": 0.0, "peer/onnxruntime": 0.1, "peer/openvino": 1e-4}
        records = self._records(subject, errors, engines)
        found = {name: record.get("max_rel_error") for name, record in records.items()}
        self.assertAlmostEqual(found.pop("auto"), 1e-6)
        self.assertAlmostEqual(found.pop("peer/openvino"), 1e-4)
        self.assertEqual(found, {"peer/mnn": 0.0, "peer/onnxruntime": None})
        self.assertIn("differs from the exact one", records["peer/onnxruntime"]["failure"])
        for record in records.values():
            self.assertFalse({"max_peer_difference", "interval_ns"} & record.keys())
        # Nobody else is needed.
        self.assertEqual(set(self._records(subject, errors, ["peer/mnn"])), {"auto", "peer/mnn"})
        with self.assertRaisesRegex(ComparisonError, "auto: its output differs"):
            self._records(subject, errors | {"auto": 1e-3}, engines)

    def test_without_one_onnx_runtime_takes_its_place(self) -> None:
        with mock.patch.object(workers, "exact", side_effect=WorkerError("Conv 'conv' is not computed in f64")):
            subject = Subject.of(self.model)
        self.assertIsNone(subject.exact)
        errors = {"auto": 1.0, "peer/mnn": 1.0, "peer/onnxruntime": 1.0}
        records = self._records(subject, errors, ["peer/mnn"])
        self.assertEqual(
            {name: record["max_peer_difference"] for name, record in records.items()}, dict.fromkeys(errors, 0.0)
        )
        self.assertFalse(any("max_rel_error" in record for record in records.values()))
        with self.assertRaisesRegex(ComparisonError, "auto: its output differs from ONNX Runtime's"):
            self._records(subject, errors | {"peer/onnxruntime": 0.0}, ["peer/mnn"])
