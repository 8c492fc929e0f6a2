"""Random changes of whole batches of images, from an explicit generator, so that a resumed training sees the same."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def random_shift(x_BCHW: Tensor, max_shift: int, generator: torch.Generator) -> Tensor:
    """Each image moved by up to `max_shift` pixels each way; what comes in repeats the border."""
    batch, _, height, width = x_BCHW.shape
    padded = F.pad(x_BCHW, [max_shift] * 4, mode="replicate")
    offsets = torch.randint(0, 2 * max_shift + 1, (2, batch), generator=generator).to(x_BCHW.device)
    rows = offsets[0, :, None] + torch.arange(height, device=x_BCHW.device)
    columns = offsets[1, :, None] + torch.arange(width, device=x_BCHW.device)
    images = torch.arange(batch, device=x_BCHW.device)
    return padded[images[:, None, None], :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def mix(
    x_BCHW: Tensor, labels: Tensor, num_classes: int, *, mixup: float, cutmix: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Each image mixed with another of the batch, and the classes' shares in it, (B, num_classes).

    All images are blended alike (mixup, ICLR 2018), or all get one rectangle from their partner (CutMix, ICCV 2019);
    where both are asked for, a coin decides. The partner of image i is image B - 1 - i, as in timm.

    Args:
        mixup: alpha of the Beta(alpha, alpha) that an image's share is drawn from; 0 for none.
        cutmix: the same for the area that the rectangle leaves.
    """
    rng = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    cut = cutmix > 0 and (mixup == 0 or rng.random() < 0.5)
    share = rng.beta(cutmix, cutmix) if cut else rng.beta(mixup, mixup)
    if cut:
        height, width = x_BCHW.shape[-2:]
        rows, columns = (_interval(length, (1 - share) ** 0.5, rng) for length in (height, width))
        share = 1 - (rows.stop - rows.start) * (columns.stop - columns.start) / (height * width)
        mixed = x_BCHW.clone()
        mixed[..., rows, columns] = x_BCHW.flip(0)[..., rows, columns]
    else:
        mixed = share * x_BCHW + (1 - share) * x_BCHW.flip(0)
    classes = F.one_hot(labels, num_classes).to(x_BCHW.dtype)
    return mixed, share * classes + (1 - share) * classes.flip(0)


def _interval(length: int, share: float, rng: np.random.Generator) -> slice:
    """This share of a side around a point of it, without what lies beyond."""
    centre, half = int(rng.integers(length)), int(length * share) // 2
    return slice(max(0, centre - half), min(length, centre + half))
