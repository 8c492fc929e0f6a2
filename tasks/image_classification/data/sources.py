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
NO_PARTS = frozenset((*PARTS, "training", "valid", "validation", "testing"))
"""Folders, in any case, that would be taken for classes, or not at all, where they are meant as parts."""
EXTENSIONS = frozenset((".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"))
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
        UserError: the folder is missing, its parts hold other things than images by class, or a link in it makes one
            folder count twice.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._walked: dict[Path, Path] = {}
        names = _part_names(root)
        folder = root / "train" if names else root
        self.classes = _folders(folder)
        if len(self.classes) < 2:
            raise UserError(
                f"task.data.root={shown(root)}: {shown(folder)} has {len(self.classes)} folders; expected is {FOLDER}"
            )
        parts = {part: self._samples(root / part) for part in names} or {"all": self._samples(root)}
        trained = {sample.label for sample in parts["train" if names else "all"]}
        if empty := [name for label, name in enumerate(self.classes) if label not in trained]:
            raise UserError(
                f"{shown(folder / empty[0])} has no images, which are files called "
                f"{', '.join(f'*{extension}' for extension in sorted(EXTENSIONS))}; put some there or remove it"
            )
        if "val" in parts and "test" not in parts:
            parts["test"] = parts.pop("val")
        self.parts = parts

    def _samples(self, folder: Path) -> list[Sample]:
        if unknown := set(_folders(folder)) - set(self.classes):
            raise UserError(f"{shown(folder)} holds the class {min(unknown)!r}, which the training images do not have")
        samples = [
            Sample(file.relative_to(self.root).as_posix(), label)
            for label, name in enumerate(self.classes)
            for file in self._images(folder / name)
        ]
        if not samples:
            raise UserError(f"{shown(folder)} has no images; expected is {FOLDER}")
        return samples

    def _images(self, folder: Path) -> list[Path]:
        found = []
        for directory, _, names in os.walk(folder, followlinks=True):
            place = Path(directory)
            real = place.resolve()
            if place.is_symlink() and place.parent.resolve().is_relative_to(real):
                raise UserError(f"{shown(place)} is a link to {shown(real)}, which it lies in; remove the link")
            if real in self._walked:
                raise UserError(
                    f"{shown(place)} and {shown(self._walked[real])} are the same folder, by a link; remove the link"
                )
            self._walked[real] = place
            found += [
                place / name for name in names if Path(name).suffix.lower() in EXTENSIONS and not name.startswith(".")
            ]
        return sorted(found)

    def load(self, sample: Sample, mode: str, size: int) -> Image.Image:
        with Image.open(self.root / sample.name) as image:
            image.draft(mode, (size, size))
            return _eight_bits(image).convert(mode)


def _eight_bits(image: Image.Image) -> Image.Image:
    """An image whose pixels are bytes: Pillow would cut those of 16 bits off at 255."""
    if image.mode == "F":
        raise ValueError("pixels are floating-point numbers, of which nothing says what is white")
    if not image.mode.startswith("I"):
        return image
    pixels = np.asarray(image)
    if pixels.min() < 0 or pixels.max() >= 2**16:
        raise ValueError("pixels have more than 16 bits, of which nothing says what is white")
    return Image.fromarray((pixels >> 8).astype(np.uint8))


def _part_names(root: Path) -> list[str]:
    """The parts that a folder tells apart: train and those beside it; none where it has the classes at once."""
    if not root.is_dir():
        raise missing(root, FOLDER)
    folders = _folders(root)
    names = [part for part in PARTS if part in folders] if "train" in folders else []
    if wrong := [name for name in folders if name.lower() in NO_PARTS and name not in names]:
        raise UserError(
            f"{shown(root / wrong[0])} is neither a part nor a class; parts are called train, val and test, and there "
            "is no other without train: rename it"
        )
    return names


def _folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


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
    return UserError(f"task.data.root={shown(root)} does not exist; expected there: {expected}")


def shown(name: Path | str) -> str:
    """A name as it can be printed and logged: bytes that are no UTF-8 as escapes."""
    return str(name).encode(errors="backslashreplace").decode()
