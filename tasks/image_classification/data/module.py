"""Images as Lightning reads them: three parts, the loaders, and a fixed part for batch-norm statistics."""

import math
from collections.abc import Callable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler
from torchvision.datasets import CIFAR10, CIFAR100

from shiftaddnas.engine.batches import even_batch_size
from shiftaddnas.errors import UserError
from tasks.image_classification.data.dataset import Decoding, ImagePart, Item
from tasks.image_classification.data.raw_files import cifar, fashion_mnist
from tasks.image_classification.data.sampler import RepeatedSampler
from tasks.image_classification.data.sources import PARTS, FolderSource, Source
from tasks.image_classification.data.split import by_chance, three_parts
from tasks.image_classification.data.statistics import normalization_of
from tasks.image_classification.data.transforms import (
    Augmentation,
    CentreCrop,
    Normalization,
    Transform,
    evaluation_transform,
    training_transform,
)

Format = Literal["folder", "cifar10", "cifar100", "fashion_mnist"]
SOURCES: dict[str, Callable[[Path], Source]] = {
    "folder": FolderSource,
    "cifar10": partial(cifar, kind=CIFAR10),
    "cifar100": partial(cifar, kind=CIFAR100),
    "fashion_mnist": fashion_mnist,
}


class ImageData(pl.LightningDataModule):
    """Images from a folder by class or from raw files, in three parts.

    Networks learn from "train", a search scores candidates on "val", and "test" is for final networks alone. "val" is
    held out of the training images unless the source has all three. What is random about a training image follows from
    seed, epoch and image alone, so that neither the number of workers nor an interruption changes a training.

    Args:
        root: where the images lie.
        format: how they lie there.
        image_size: of training images, and what networks are priced for.
        batch_size: images in a training step of one process.
        seed: of the training images' order and augmentation.
        eval_size: of images in validation, search and test; None: image_size.
        in_channels: 3 for colour, 1 for grey.
        num_classes: None counts them; a number is compared with what is found, and asks for no data before a training.
        crop_share: what evaluation's centre crop keeps of an image's shorter side.
        augmentation: of training images; None leaves them as evaluation sees them.
        normalization: None computes it from the training part.
        val_share: of the training images of each class, held out for "val".
        test_share: of the images of each class, held out for "test" where the source has no such part.
        max_broken: the greatest share of the images of "train", "val" or "test" that may be unreadable; they are
            reported and left out.
        num_calibration: training images from which batch-norm statistics of a subnet are taken.
        eval_batch_size: images in a step of evaluation.
        num_workers: processes that load, of each loader.

    Raises:
        UserError: settings contradict each other; in `setup`, data are missing or not as expected.
    """

    free_settings = (
        "root",
        "batch_size",
        "eval_batch_size",
        "seed",
        "eval_size",
        "crop_share",
        "augmentation",
        "max_broken",
        "num_calibration",
        "num_workers",
    )

    def __init__(
        self,
        root: str,
        format: Format,
        image_size: int,
        batch_size: int,
        seed: int,
        *,
        eval_size: int | None = None,
        in_channels: Literal[1, 3] = 3,
        num_classes: int | None = None,
        crop_share: float = 0.875,
        augmentation: Augmentation | None = None,
        normalization: Normalization | None = None,
        val_share: float = 0.1,
        test_share: float = 0.2,
        max_broken: float = 0.01,
        num_calibration: int = 512,
        eval_batch_size: int = 256,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        self.root = Path(root).expanduser()
        self.format = format
        self.image_size = image_size
        self.batch_size = batch_size
        self.seed = seed
        self.eval_size = image_size if eval_size is None else eval_size
        self.in_channels = in_channels
        self.crop_share = crop_share
        self.augmentation = augmentation
        self.normalization = normalization
        self.val_share = val_share
        self.test_share = test_share
        self.max_broken = max_broken
        self.num_calibration = num_calibration
        self.eval_batch_size = eval_batch_size
        self.num_workers = num_workers
        self.parts: dict[str, ImagePart] = {}
        self._num_classes = num_classes
        self._check()

    def _check(self) -> None:
        for name in ("image_size", "eval_size", "batch_size", "eval_batch_size", "num_calibration"):
            if getattr(self, name) < 1:
                raise UserError(f"task.data.{name}={getattr(self, name)}; allowed are whole numbers from 1")
        for name in ("val_share", "test_share", "max_broken"):
            share = getattr(self, name)
            if not (0 < share < 1 or (name == "max_broken" and share == 0)):
                raise UserError(f"task.data.{name}={share}; allowed are shares above 0 and below 1")
        if self.num_workers < 0:
            raise UserError(f"task.data.num_workers={self.num_workers}; allowed are whole numbers from 0")
        if not 0 < self.crop_share <= 1:
            raise UserError(f"task.data.crop_share={self.crop_share}; allowed are shares above 0 and up to 1")
        if self.normalization is not None:
            given = len(self.normalization.mean), len(self.normalization.std)
            if given != (self.in_channels, self.in_channels):
                raise UserError(
                    f"task.data.normalization has {given[0]} means and {given[1]} deviations; "
                    f"task.data.in_channels={self.in_channels} needs as many of each"
                )
            if not all(0 < std < math.inf for std in self.normalization.std):
                raise UserError(
                    f"task.data.normalization.std={list(self.normalization.std)}; allowed are numbers above 0"
                )

    @property
    def num_classes(self) -> int:
        if self._num_classes is None:
            self._num_classes = len(self._source.classes)
        return self._num_classes

    @cached_property
    def _source(self) -> Source:
        return SOURCES[self.format](self.root)

    def setup(self, stage: str | None = None) -> None:
        if self.parts:
            return
        source = self._source
        if len(source.classes) != self.num_classes:
            raise UserError(
                f"task.data.num_classes={self.num_classes}, but {self.root} has {len(source.classes)} classes"
            )
        samples = three_parts(source.parts, self.val_share, self.test_share, source.classes)
        mode = "RGB" if self.in_channels == 3 else "L"
        normalization = self.normalization or normalization_of(
            source, samples["train"], mode, CentreCrop(self.image_size, self.crop_share), str(self.root.resolve())
        )
        evaluated = evaluation_transform(self.eval_size, self.crop_share, normalization)
        # Twice the size, so that what the decoder does not halve is left to bicubic resizing.
        decoding = Decoding(mode, 2 * max(self.image_size, self.eval_size), self.max_broken)
        for name in PARTS:
            self.parts[name] = ImagePart(name, source, samples[name], evaluated, decoding, None)
        chosen = by_chance(samples["train"], "calibration")[: self.num_calibration]
        self.parts["calibration"] = ImagePart("calibration", source, chosen, evaluated, decoding, None)
        trained, seed = self._training_transform(normalization)
        self.parts["train"] = ImagePart("train", source, samples["train"], trained, decoding, seed)

    def _training_transform(self, normalization: Normalization) -> tuple[Transform, int | None]:
        if self.augmentation is None:
            return evaluation_transform(self.image_size, self.crop_share, normalization), None
        return training_transform(self.image_size, self.crop_share, normalization, self.augmentation), self.seed

    def train_dataloader(self) -> DataLoader[Any]:
        part = self.parts["train"]
        replicas, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        repeats = self.augmentation.repeats if self.augmentation else 1
        sampler = RepeatedSampler(part, len(part), self.seed, repeats=repeats, num_replicas=replicas, rank=rank)
        if len(sampler) < self.batch_size:
            raise UserError(
                f"task.data.batch_size={self.batch_size} is more than the {len(sampler)} training images of a process"
            )
        return self._loader("train", self.batch_size, sampler=sampler, drop_last=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._loader("val", self.eval_batch_size)

    def test_dataloader(self) -> DataLoader[Any]:
        return self._loader("test", self.eval_batch_size)

    def calibration_dataloader(self) -> DataLoader[Any]:
        return self._loader("calibration", even_batch_size(len(self.parts["calibration"]), self.eval_batch_size))

    def _loader(
        self, name: str, batch_size: int, *, sampler: Sampler[Any] | None = None, drop_last: bool = False
    ) -> DataLoader[Any]:
        return CheckedLoader(
            self.parts[name],
            batch_size=batch_size,
            sampler=sampler,
            drop_last=drop_last,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            collate_fn=collate,
        )


class CheckedLoader(DataLoader[Any]):
    """A loader that ends with a UserError, in the main process, once too many images turned out to be broken.

    Evaluation leaves out batches of broken images alone; a training, whose epochs have a known length, ends with them.
    """

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        part = self.dataset
        assert isinstance(part, ImagePart)
        for images, labels in super().__iter__():
            part.check()
            if len(labels):
                yield images, labels
            elif part.name == "train":
                raise UserError(
                    f"no image of a training batch can be read, {part.first_broken} among the broken ones; mend or "
                    "remove them, or raise task.data.batch_size"
                )


def collate(items: list[Item]) -> tuple[Tensor, Tensor]:
    """A batch of the images that could be read: (B, C, H, W) and (B)."""
    readable = [item for item in items if item is not None]
    labels = torch.tensor([label for _, label in readable], dtype=torch.long)
    return (torch.stack([image for image, _ in readable]) if readable else torch.empty(0)), labels
