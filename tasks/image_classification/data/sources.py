"""Where images come from: a folder of images by class, or the raw files of CIFAR-10, CIFAR-100 and Fashion-MNIST.

A source lists its images by part and decodes them one at a time; nothing is downloaded. How parts are split further,
transformed and batched is said by the other modules of this package.
"""

import os
import struct
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from shiftaddnas.errors import UserError

PARTS = ("train", "val", "test")
EXTENSIONS = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"))
# What Pillow raises for files that are no images, or only a part of one.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
FOLDER = (
    "one folder of images for each class, either at once or inside train/ and, where there are such parts, "
    "val/ and test/ (see docs/image_data.md)"
)


@dataclass(frozen=True)
class Sample:
    """One image of a source: its name, the same on every machine, and the number of its class."""

    name: str
    label: int


class Source(ABC):
    """Images with classes.

    Attributes:
        classes: their names, in the order of their numbers.
        parts: the samples, by name, of each part that the source itself tells apart: "train" alone or with "val" or
            "test", or "all".
    """

    classes: Sequence[str]
    parts: Mapping[str, Sequence[Sample]]

    @abstractmethod
    def load(self, sample: Sample, mode: str, size: int) -> Image.Image:
        """A decoded image, "L" or "RGB" as `mode` says.

        Args:
            size: where the decoder can halve an image at no cost, neither side gets shorter than this.

        Raises:
            one of BROKEN: the image cannot be read.
        """


class FolderSource(Source):
    """A folder of images by class.

    Where there is train/ but no test/, val/ is the test part, as in ImageNet: a search must score on images that
    nobody reports results on, so its part comes from train/.

    Raises:
        UserError: the folder is missing, or its parts hold other things than images by class.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.classes = folder_classes(root)
        names = [part for part in PARTS if (root / part).is_dir()] if (root / "train").is_dir() else []
        parts = {part: self._samples(root / part) for part in names} or {"all": self._samples(root)}
        if "val" in parts and "test" not in parts:
            parts["test"] = parts.pop("val")
        self.parts = parts

    def _samples(self, folder: Path) -> list[Sample]:
        if unknown := set(_folders(folder)) - set(self.classes):
            raise UserError(f"{folder} holds the class {min(unknown)!r}, which the training images do not have")
        return [
            Sample(file.relative_to(self.root).as_posix(), label)
            for label, name in enumerate(self.classes)
            for file in _images(folder / name)
        ]

    def load(self, sample: Sample, mode: str, size: int) -> Image.Image:
        with Image.open(self.root / sample.name) as image:
            image.draft(mode, (size, size))
            return image.convert(mode)


def folder_classes(root: Path) -> list[str]:
    """The names of the classes of a folder, without a look at its images."""
    if not root.is_dir():
        raise missing(root, FOLDER)
    folder = root / "train" if (root / "train").is_dir() else root
    classes = _folders(folder)
    if len(classes) < 2:
        raise UserError(f"task.data.root={root}: {folder} has {len(classes)} folders; expected is {FOLDER}")
    return classes


def _folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    return sorted(
        Path(directory) / name
        for directory, _, names in os.walk(folder, followlinks=True)
        for name in names
        if Path(name).suffix.lower() in EXTENSIONS and not name.startswith(".")
    )


class ArraySource(Source):
    """Images that are in memory as bytes.

    Args:
        arrays: images (N, H, W) or (N, H, W, 3) and labels (N) of the parts "train" and "test".
    """

    def __init__(
        self, classes: Sequence[str], arrays: Mapping[str, tuple[npt.NDArray[np.uint8], Sequence[int]]]
    ) -> None:
        self.classes = classes
        self.parts = {
            part: [Sample(f"{part}/{index}", int(label)) for index, label in enumerate(labels)]
            for part, (_, labels) in arrays.items()
        }
        self._images = {part: images for part, (images, _) in arrays.items()}

    def load(self, sample: Sample, mode: str, size: int) -> Image.Image:
        part, index = sample.name.split("/")
        image = Image.fromarray(self._images[part][int(index)])
        return image if image.mode == mode else image.convert(mode)


def missing(root: Path, expected: str) -> UserError:
    return UserError(f"task.data.root={root} does not exist; expected there: {expected}")
