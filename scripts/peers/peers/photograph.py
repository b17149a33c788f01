"""The workspace's photograph as input of a network."""

import numpy as np
from PIL import Image, ImageOps

from .sources import SEED, WORKSPACE

PHOTOGRAPH = WORKSPACE / "crates/conv-net/images/chelsea.jpg"

# Where crops are, as parts of the room that there is: what `crops` cycles through, every other one mirrored.
PLACES = ((0.5, 0.5), (0.0, 0.0), (1.0, 1.0), (0.25, 0.75))

# How much of the picture a crop leaves out on every side.
BORDER = 0.1


def crops(shape: list[int], count: int) -> np.ndarray:
    """`[count, c, h, w]` for an input of `shape`, of mean 0 and variance 1.

    Of an input of three channels they are parts of the photograph, at four places, every other one mirrored; of any other
    noise.
    """
    match shape:
        case [_, 3, height, width]:
            images = np.stack([_crop(index, height, width) for index in range(count)])
        case [_, *sizes]:
            images = np.random.default_rng(SEED).standard_normal((count, *sizes), np.float32)
    return ((images - images.mean()) / images.std()).astype(np.float32)


def _crop(index: int, height: int, width: int) -> np.ndarray:
    place = PLACES[index % len(PLACES)]
    with Image.open(PHOTOGRAPH) as picture:
        image = ImageOps.fit(picture.convert("RGB"), (width, height), bleed=BORDER, centering=place)
    if index % 2 == 1:
        image = ImageOps.mirror(image)
    return np.asarray(image, np.float32).transpose(2, 0, 1)
