"""The raw files of CIFAR-10, CIFAR-100 and Fashion-MNIST, as their authors and Linux distributions give them out."""

import gzip
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torchvision.datasets import CIFAR10, CIFAR100, FashionMNIST

from shiftaddnas.errors import UserError
from tasks.image_classification.data.sources import ArraySource, missing


def cifar(root: Path, kind: type[CIFAR10] | type[CIFAR100]) -> ArraySource:
    """CIFAR's "python version", unpacked: 50,000 training and 10,000 test images of 32x32 pixels.

    Raises:
        UserError: a file is missing or, by its checksum, damaged.
    """
    expected = f"the folder {kind.base_folder}, as unpacked from {kind.filename} ({kind.url})"
    if not root.is_dir():
        raise missing(root, expected)
    try:
        parts = {"train": kind(str(root), train=True), "test": kind(str(root), train=False)}
    except RuntimeError:  # torchvision's word for both
        raise UserError(
            f"task.data.root={root} lacks a file or holds a damaged one; expected there: {expected}"
        ) from None
    return ArraySource(parts["train"].classes, {name: (part.data, part.targets) for name, part in parts.items()})


def fashion_mnist(root: Path) -> ArraySource:
    """Fashion-MNIST's four files, compressed or not: 60,000 training and 10,000 test images of 28x28 grey pixels.

    They may also lie in FashionMNIST/raw below the root, where torchvision puts them.

    Raises:
        UserError: a file is missing or damaged.
    """
    expected = (
        "train-images-idx3-ubyte.gz, train-labels-idx1-ubyte.gz and both of t10k, from "
        "https://github.com/zalandoresearch/fashion-mnist or Debian's package dataset-fashion-mnist "
        "(task.data.root=/usr/share/datasets/fashion-mnist)"
    )
    if not root.is_dir():
        raise missing(root, expected)
    nested = root / "FashionMNIST" / "raw"
    folder = nested if nested.is_dir() else root
    arrays = {}
    for part, prefix in (("train", "train"), ("test", "t10k")):
        images = _read_idx(folder / f"{prefix}-images-idx3-ubyte", expected)
        labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte", expected)
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise UserError(f"{folder}: {prefix} has images {images.shape} and labels {labels.shape}")
        arrays[part] = (images, labels.tolist())
    return ArraySource(FashionMNIST.classes, arrays)


def _read_idx(path: Path, expected: str) -> npt.NDArray[np.uint8]:
    """An array of bytes in the IDX format: two zeros, type 8, rank, big-endian lengths, values."""
    compressed = path.with_name(f"{path.name}.gz")
    if not path.is_file() and not compressed.is_file():
        raise UserError(f"task.data.root: {path} does not exist; expected there: {expected}")
    try:
        content = path.read_bytes() if path.is_file() else gzip.decompress(compressed.read_bytes())
        kind, rank = struct.unpack_from(">HBB", content)[1:]
        shape = struct.unpack_from(f">{rank}I", content, 4)
        if kind != 8:
            raise ValueError(f"values of type {kind}, not bytes")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); get it again: {expected}") from None
