"""Records: their statistics, and what replaces what."""

import json
import tempfile
import unittest
from pathlib import Path

from peers.records import FILE_NAME, Record, merge_into, statistics


class Statistics(unittest.TestCase):
    def test_median_and_deviation(self) -> None:
        self.assertEqual(
            statistics([30, 10, 20, 100]),
            {"samples": 4, "min_ns": 10.0, "median_ns": 25.0, "mad_ns": 10.0},
        )


class Merge(unittest.TestCase):
    def test_a_comparison_is_replaced_as_a_whole_and_all_others_stay(self) -> None:
        def record(batch: int, algorithm: str, time: int) -> Record:
            return {"kind": "forward", "name": "paper", "batch": batch, "algorithm": algorithm, "median_ns": time}

        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "of" / "records"
            old = [record(1, "auto", 1), record(1, "peer/gone", 2), record(16, "auto", 3)]
            merge_into(out, old)
            with (out / FILE_NAME).open("a") as file:
                file.write("\n")
            new = [record(1, "auto", 4), record(1, "peer/é", 5)]
            path = merge_into(out, new)
            kept = [json.loads(line) for line in path.read_text().splitlines()]
            self.assertEqual(kept, [old[2], *new])
            self.assertEqual([file.name for file in out.iterdir()], [FILE_NAME], "nothing else is left there")
