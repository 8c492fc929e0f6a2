"""Real image files for tests: scikit-learn's digits as folders and in the formats of CIFAR and Fashion-MNIST."""

import gzip
import hashlib
import pickle
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from torchvision.datasets import CIFAR10, CIFAR100

Bytes = npt.NDArray[np.uint8]


def digits(size: int) -> tuple[Bytes, Bytes]:
    """The 1,797 digits as grey images of this size, and their labels."""
    images, labels = load_digits(return_X_y=True)
    small = (images.reshape(-1, 8, 8) * 15).astype(np.uint8)
    resized = [np.asarray(Image.fromarray(image).resize((size, size))) for image in small]
    return np.stack(resized), labels.astype(np.uint8)


def write_folder(root: Path, indices: Iterable[int], size: int = 8) -> Path:
    """These digits as root/<class>/<index>.png."""
    images, labels = digits(size)
    for index in indices:
        folder = root / f"digit_{labels[index]}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[index]).save(folder / f"{index:04d}.png")
    return root


def write_idx(path: Path, array: Bytes) -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = header + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_fashion_mnist(root: Path, suffix: str = ".gz") -> Path:
    images, labels = digits(28)
    for prefix, part in (("train", slice(0, 1500)), ("t10k", slice(1500, None))):
        write_idx(root / f"{prefix}-images-idx3-ubyte{suffix}", images[part])
        write_idx(root / f"{prefix}-labels-idx1-ubyte{suffix}", labels[part])
    return root


def write_cifar(root: Path, kind: type[CIFAR10] | type[CIFAR100], monkeypatch: pytest.MonkeyPatch) -> Path:
    """The digits as CIFAR's batches: rows of 1,024 red, green and blue values. torchvision learns their checksums."""
    images, labels = digits(32)
    rows = np.repeat(images.reshape(len(images), 1, -1), 3, axis=1).reshape(len(images), -1)
    rows[:, 1024:2048] //= 2  # three channels that differ
    folder = root / kind.base_folder
    folder.mkdir(parents=True)
    key = "labels" if kind is CIFAR10 else "fine_labels"
    train, test = np.split(np.arange(len(labels)), [1500])
    chunks = dict(zip([name for name, _ in kind.train_list], np.array_split(train, len(kind.train_list)), strict=True))
    chunks[kind.test_list[0][0]] = test
    sums = {}
    for name, chunk in chunks.items():
        sums[name] = _pickle(folder / name, {"data": rows[chunk], key: labels[chunk].tolist()})
    meta = kind.meta["filename"]
    sums[meta] = _pickle(folder / meta, {kind.meta["key"]: [f"digit_{label}" for label in range(10)]})
    for attribute in ("train_list", "test_list"):
        known = [[name, sums[name]] for name, _ in getattr(kind, attribute)]
        monkeypatch.setattr(kind, attribute, known)
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": sums[meta]})
    return root


def _pickle(path: Path, content: object) -> str:
    path.write_bytes(pickle.dumps(content))
    return hashlib.md5(path.read_bytes()).hexdigest()
