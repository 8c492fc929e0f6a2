"""One part of a data set as PyTorch reads it: decoding, transforming with reproducible randomness, broken images."""

import logging
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from shiftaddnas.errors import UserError
from shiftaddnas.tracking import child_seed
from tasks.image_classification.data.sampler import Draw
from tasks.image_classification.data.sources import BROKEN, Sample, Source, shown
from tasks.image_classification.data.transforms import Transform

log = logging.getLogger("shiftaddnas.data")

Item = tuple[Tensor, int] | None


@dataclass(frozen=True)
class Decoding:
    """How images are decoded: the mode ("L" or "RGB"), the size that they should at least have, and how many may fail.

    Args:
        max_broken: the greatest share of a part's images that may be unreadable; of the calibration part, all but one.
    """

    mode: str
    size: int
    max_broken: float


class ImagePart(Dataset[Item]):
    """The images of one part. An index gives a tensor (C, H, W) and a label, or None for an image that is broken.

    Args:
        name: of the part.
        seed: of the random transforms, together with epoch, image and copy; None where there is nothing random.
    """

    def __init__(
        self,
        name: str,
        source: Source,
        samples: Sequence[Sample],
        transform: Transform,
        decoding: Decoding,
        seed: int | None,
    ) -> None:
        self.name = name
        self.source = source
        self.samples = samples
        self.transform = transform
        self.decoding = decoding
        self.seed = seed
        # In shared memory: worker processes count together, and each image is reported once.
        self._broken = torch.zeros(len(samples), dtype=torch.bool).share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, where: Draw | int) -> Item:
        draw = where if isinstance(where, Draw) else Draw(int(where), 0, 0)
        sample = self.samples[draw.image]
        try:
            image = self.source.load(sample, self.decoding.mode, self.decoding.size)
        except BROKEN as error:
            self._report(draw.image, error)
            return None
        if self.seed is None:
            return self.transform(image), sample.label
        with _seeded(child_seed(self.seed, "image", *draw)):
            return self.transform(image), sample.label

    def _report(self, index: int, error: Exception) -> None:
        if self._broken[index]:
            return
        self._broken[index] = True
        reason = shown(" ".join(str(error).split()))
        name = shown(self.samples[index].name)
        log.warning("broken image %s is left out (%s: %s)", name, type(error).__name__, reason)

    @property
    def first_broken(self) -> str:
        """The name of the first image that turned out to be broken; there must be one."""
        return shown(self.samples[int(self._broken.nonzero()[0])].name)

    def check(self) -> None:
        """Raise a UserError if more images turned out to be broken than there may be."""
        count = int(self._broken.sum())
        if count == 0:
            return
        broken = f"{count} of {len(self)} images of the {self.name} part cannot be read, {self.first_broken} among them"
        if self.name == "calibration":  # a few training images: their share says nothing about the training part's
            if count == len(self):
                raise UserError(f"{broken}; mend or remove them")
        elif count > self.decoding.max_broken * len(self):
            raise UserError(
                f"{broken}; allowed is a share of task.data.max_broken={self.decoding.max_broken}; mend or remove them"
            )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed Python's, numpy's and torch's default generators inside, and leave them as they were."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)  # the CPU's alone: torch.manual_seed would change those of GPUs
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
