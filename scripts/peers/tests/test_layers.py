"""The records of a single layer."""

import unittest

from peers.comparison import ComparisonError
from peers.layers import LayerComparison, layer_records
from peers.problems import parse
from peers.records import Record

PROBLEM = parse("file/a", "mb2ic8ih9oc8oh7kh3ph0", ["direct", "winograd"])
SEEN = {"samples": 3, "min_ns": 1.0, "median_ns": 2.0, "mad_ns": 0.5, "max_rel_error": 1e-7, "peak_resident_bytes": 9}


def own(algorithm: str) -> Record:
    """What convlab's own process says of its pass, and what was seen of it."""
    origin = {"isa": "avx2", "batch": 2, "threads": 1, "commit": "c", "rustc": "r", "cpu": "Model 7", "date": "d"}
    memory = {"scratch_bytes": 5, "prepared_bytes": 6, "allocations": 0, "activation_bytes": 7}
    passed = {"kind": "forward", "name": "conv", "layers": [{"name": "conv", "algorithm": algorithm}]}
    return SEEN | origin | memory | passed


class Records(unittest.TestCase):
    def _records(self, results: dict[str, Record], failures: dict[str, str]) -> list[Record]:
        comparison = LayerComparison(PROBLEM, 1, ["peer/mnn", "peer/onednn"])
        return layer_records(comparison, results, failures)

    def test_each_family_and_engine_has_one(self) -> None:
        results = {"direct": own("direct/nhwc"), "auto": own("winograd/f4x3"), "peer/onednn": SEEN | {"engine": "x"}}
        records = self._records(results, {"winograd": "no", "peer/mnn": "refused"})
        names = [(record["algorithm"], record.get("chosen_by")) for record in records]
        chosen = [("direct/nhwc", ["direct"]), ("winograd", ["winograd"]), ("winograd/f4x3", ["auto"])]
        self.assertEqual(names, [*chosen, ("peer/mnn", None), ("peer/onednn", None)])
        for record in records:
            self.assertEqual(
                (record["kind"], record["name"], record["problem"]), ("conv", "file/a", PROBLEM.descriptor)
            )
            self.assertEqual((record["clock"], record["batch"], record["isa"]), ("peers", 2, "avx2"))
            self.assertFalse({"layers", "activation_bytes", "peak_resident_bytes"} & record.keys())
        self.assertEqual([record.get("failure") for record in records], [None, "no", None, "refused", None])
        self.assertEqual((records[0]["scratch_bytes"], records[4]["engine"]), (5, "x"))
        self.assertEqual({records[i]["gflops_effective"] for i in (0, 2, 4)}, {PROBLEM.flops() / 2})

    def test_without_convlab_there_are_none(self) -> None:
        with self.assertRaisesRegex(ComparisonError, "auto: no"):
            self._records({"peer/mnn": SEEN | {"engine": "x"}}, {"direct": "no", "winograd": "no", "auto": "no"})
