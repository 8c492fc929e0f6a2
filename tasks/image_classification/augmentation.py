"""Random changes of whole batches of images, from an explicit generator, so that a resumed training sees the same."""

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
