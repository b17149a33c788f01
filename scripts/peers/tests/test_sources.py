"""Which models the arguments choose, and what they are called."""

import argparse
import tempfile
import unittest
from pathlib import Path

from peers import light
from peers.photograph import crops
from peers.rewrite import ModelError
from peers.sources import add_arguments, sources


def chosen(*arguments: str) -> list[str]:
    parser = argparse.ArgumentParser()
    add_arguments(parser, "none")
    return [source.name for source in sources(parser.parse_args(arguments))]


class Names(unittest.TestCase):
    def test_each_kind_has_its_own(self) -> None:
        self.assertEqual(chosen(), [])
        self.assertEqual(chosen("--light"), [f"light_{name}" for name in light.NAMES])
        names = chosen("--network", "paper,vgg16", "--light", "resnet50", "--model", "a/b.onnx", "c.onnx")
        self.assertEqual(names, ["paper", "vgg16", "b", "c", "light_resnet50"])

    def test_a_file_that_is_no_model(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            parser = argparse.ArgumentParser()
            add_arguments(parser, "none")
            [source] = sources(parser.parse_args(["--model", str(path)]))
            with self.assertRaisesRegex(ModelError, "No such file"):
                source.write(Path(folder), 1)
            path.write_bytes(b"no model")
            with self.assertRaises(ModelError):
                source.write(Path(folder), 1)


class Photograph(unittest.TestCase):
    def test_four_images_differ(self) -> None:
        for shape in ([1, 3, 40, 30], [1, 3, 30, 90], [1, 5, 6]):
            images = crops(shape, 4)
            self.assertEqual(images.shape, (4, *shape[1:]))
            self.assertAlmostEqual(images.mean(), 0, places=4)
            self.assertAlmostEqual(images.std(), 1, places=4)
            for i in range(4):
                for j in range(i):
                    self.assertGreater(abs(images[i] - images[j]).mean(), 0.1, f"{shape}: {i} and {j}")
