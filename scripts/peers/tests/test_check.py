"""The table at the end of a check, and what is an agreement."""

import unittest

import numpy as np

from peers.check import CheckError, Row, _difference, _table


class Table(unittest.TestCase):
    def test_a_row_for_each_model_and_its_reason_if_it_is_refused(self) -> None:
        rows = [
            Row("one", 5, 4, 9, 3e-5, None, {"peer/onnxruntime": 1e-6, "direct": 2e-6, "auto": 4e-5}),
            Row("two", 1, 1, 1, 1e-5, "TopK is not computed", {}),
            # What is wrong here is not convlab.
            Row("three", 1, 1, 1, 1e-5, None, {"peer/onnxruntime": 0.3, "direct": 0.0, "auto": 0.0}),
        ]
        self.assertEqual([row.agrees() for row in rows], [False, True, True])
        self.assertEqual(
            list(_table(rows, ["direct", "auto"])),
            [
                "| model | convolutions | distinct | depth | limit | peer/onnxruntime | direct | auto |",
                "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
                "| one | 5 | 4 | 9 | 3.0e-05 | 1.0e-06 | 2.0e-06 | 4.0e-05 |",
                "| two | 1 | 1 | 1 | 1.0e-05 | refused: TopK is not computed |  |  |",
                "| three | 1 | 1 | 1 | 1.0e-05 | 3.0e-01 | 0.0e+00 | 0.0e+00 |",
            ],
        )

    def test_what_is_no_number_never_agrees(self) -> None:
        difference = _difference(np.array([1.0, np.nan]), np.ones(2))
        self.assertFalse(Row("one", 1, 1, 1, 1e-5, None, {"auto": difference}).agrees())
        with self.assertRaisesRegex(CheckError, "shape"):
            _difference(np.ones((2, 1)), np.ones(2))
