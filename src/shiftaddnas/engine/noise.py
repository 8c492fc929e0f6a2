"""The noise of layers that draw some while they train: dropout, drop path, stochastic rounding of gradients.

Such layers draw from torch's default generator, in the forward and in the backward pass. It is seeded anew for each
batch, so that a resumed training draws what an uninterrupted one does, and every process of a distributed one its own.
"""

import torch

from shiftaddnas.tracking import child_seed


def seed_layer_noise(seed: int, epoch: int, batch: int, rank: int) -> None:
    """Seed torch's default generator for one training step."""
    torch.manual_seed(child_seed(seed, "noise", epoch, batch, rank))
