"""From a decoded image to a network's input: evaluation's geometry, and the paper's augmentation of training images.

The recipe is that of DeiT (ICML 2021), with which ShiftAddNAS (ICML 2022) trains. Training and evaluation are
normalised alike. Random parts draw from the default generators of Python, numpy and torch, as torchvision and timm do;
the data set seeds them for each sample (dataset.py).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image, ImageOps
from timm.data.auto_augment import rand_augment_transform
from timm.data.random_erasing import RandomErasing
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from shiftaddnas.errors import UserError

Transform = Callable[[Image.Image], Tensor]


@dataclass(frozen=True)
class Augmentation:
    """How training images are changed; the defaults are the paper's.

    Args:
        crop_scale: smallest and greatest share of an image's area that a random crop keeps; None: evaluation's crop.
        flip: probability of a horizontal flip.
        rand_augment: timm's description of a RandAugment policy (CVPR Workshops 2020), or None.
        color_jitter: strength of random brightness, contrast and saturation; instead of `rand_augment` only.
        erasing: probability that a random rectangle becomes noise (AAAI 2020).
        repeats: copies of an image in an epoch, each augmented by itself, of correspondingly fewer images (CVPR 2020).
    """

    crop_scale: tuple[float, float] | None = (0.08, 1.0)
    flip: float = 0.5
    rand_augment: str | None = "rand-m9-mstd0.5-inc1"
    color_jitter: float = 0.0
    erasing: float = 0.25
    repeats: int = 3

    def __post_init__(self) -> None:
        if self.rand_augment is not None and self.color_jitter:
            raise UserError(
                f"task.data.augmentation.color_jitter={self.color_jitter} and rand_augment={self.rand_augment} exclude "
                "each other; set one of them to 0 or null"
            )
        scale = self.crop_scale
        if scale is not None and not 0 < scale[0] <= scale[1] <= 1:
            raise UserError(
                f"task.data.augmentation.crop_scale={list(scale)}; allowed are two shares above 0 and up to 1, the "
                "smaller one first, or null"
            )
        for name in ("flip", "erasing"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(
                    f"task.data.augmentation.{name}={getattr(self, name)}; allowed are probabilities from 0 to 1"
                )
        if self.color_jitter < 0:
            raise UserError(f"task.data.augmentation.color_jitter={self.color_jitter}; allowed are numbers from 0")
        if self.repeats < 1:
            raise UserError(f"task.data.augmentation.repeats={self.repeats}; allowed are whole numbers from 1")


@dataclass(frozen=True)
class Normalization:
    """Mean and standard deviation of each channel, of values from 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, image: Image.Image) -> Tensor:
        """An image as a tensor (C, H, W)."""
        pixels_HWC = np.atleast_3d(np.asarray(image)).astype(np.float32) / 255
        normal_HWC = (pixels_HWC - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return torch.from_numpy(np.ascontiguousarray(normal_HWC.transpose(2, 0, 1)))


def resized_size(size: int, crop_share: float) -> int:
    """The shorter side of an image before its centre is cropped: 256 for 224 and 292 for 256, at 224/256."""
    return math.floor(size / crop_share)


class CentreCrop:
    """The shorter side resized (bicubic), then the centre cropped; `crop_share` is what the crop keeps of that side."""

    def __init__(self, size: int, crop_share: float) -> None:
        self.size = size
        self.shorter = resized_size(size, crop_share)
        self._crop = v2.Compose(
            [v2.Resize(self.shorter, interpolation=InterpolationMode.BICUBIC, antialias=True), v2.CenterCrop(size)]
        )
        self._exact = (size, size) if self.shorter == size else None

    def __call__(self, image: Image.Image) -> Image.Image:
        return image if image.size == self._exact else self._crop(image)


def evaluation_transform(size: int, crop_share: float, normalization: Normalization) -> Transform:
    return _Chain([CentreCrop(size, crop_share), normalization])


def training_transform(
    size: int, crop_share: float, normalization: Normalization, augmentation: Augmentation
) -> Transform:
    """The augmentation, in DeiT's order; erased rectangles are noise of the normalised image's scale."""
    steps: list[Callable[..., object]] = []
    if augmentation.crop_scale is None:
        steps.append(CentreCrop(size, crop_share))
    else:
        bicubic = InterpolationMode.BICUBIC
        steps.append(v2.RandomResizedCrop(size, augmentation.crop_scale, interpolation=bicubic, antialias=True))
    if augmentation.flip:
        steps.append(v2.RandomHorizontalFlip(augmentation.flip))
    if augmentation.rand_augment is not None:
        steps.append(_rand_augment(augmentation.rand_augment, size, normalization.mean))
    elif augmentation.color_jitter:
        steps.append(v2.ColorJitter(*[augmentation.color_jitter] * 3))
    steps.append(normalization)
    if augmentation.erasing:
        steps.append(RandomErasing(augmentation.erasing, mode="pixel", device="cpu"))  # type: ignore[no-untyped-call]
    return _Chain(steps)


def _rand_augment(description: str, size: int, mean: Sequence[float]) -> Callable[..., object]:
    fill = tuple(min(255, round(255 * value)) for value in mean)
    settings = {
        "translate_const": int(size * 0.45),
        "img_mean": fill if len(fill) > 1 else fill[0],
        "interpolation": Image.Resampling.BICUBIC,
    }
    try:
        policy = rand_augment_transform(description, settings)
    except (AssertionError, ValueError):
        raise UserError(
            f"task.data.augmentation.rand_augment={description}; allowed is what timm's rand_augment_transform "
            "takes, for instance rand-m9-mstd0.5-inc1"
        ) from None
    for operation in policy.ops:
        if operation.name.startswith("Posterize"):
            operation.aug_fn = _posterize
    return policy  # type: ignore[no-any-return]


def _posterize(image: Image.Image, num_bits: int, **_: object) -> Image.Image:
    """The highest bits of each value. RandAugment also asks for none of them, which Pillow refuses since version 13."""
    if num_bits < 1:
        return Image.new(image.mode, image.size)
    return ImageOps.posterize(image, min(num_bits, 8))


class _Chain:
    def __init__(self, steps: Sequence[Callable[..., object]]) -> None:
        self.steps = list(steps)

    def __call__(self, image: Image.Image) -> Tensor:
        value: object = image
        for step in self.steps:
            value = step(value)
        assert isinstance(value, Tensor)
        return value
