"""How programs are started."""

import unittest
from pathlib import Path
from unittest import mock

from peers import workers
from peers.engines import PROGRAMS, Program
from peers.turns import WorkerError


class Programs(unittest.TestCase):
    def test_threads_are_said_in_every_way_and_some_are_kept_to_them(self) -> None:
        for confined in (False, True):
            chosen = Program("setup", "conv.txt", confined=confined)
            with mock.patch.dict(PROGRAMS, {"peer/x": chosen}):
                command = workers.program("peer/x", Path("/folder"), 2)(Path("/folder/x.npy"))
            self.assertIn("RAYON_NUM_THREADS=2", command)
            files = ["/folder/conv.txt", "/folder/images.npy", "/folder/x.npy", "--threads", "2"]
            self.assertEqual(command[-6:], [str(workers.FOLDER / "setup"), *files])
            self.assertEqual("0-1" in command, confined)

    def test_one_that_was_not_built_fails(self) -> None:
        with (
            mock.patch.dict(PROGRAMS, {"peer/x": Program("bin/nothing", "conv.txt")}),
            self.assertRaisesRegex(WorkerError, "bin/nothing is not built"),
        ):
            workers.program("peer/x", Path("/folder"), 1)(Path("/folder/x.npy"))
