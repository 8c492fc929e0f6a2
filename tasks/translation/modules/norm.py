"""What follows every part of a layer: dropout, the residual, layer normalisation over the leading channels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.translation.modules.linear import leading


class ResidualNorm(nn.Module):
    """LN(x + dropout(y)) over as many channels as there are, by the leading part of the affine pair.

    Args:
        dropout: at `super_dim` channels; in proportion to the channels where there are fewer (HAT). The released code
            of ShiftAddNAS leaves out one of the encoder's.
    """

    def __init__(self, num_channels: int, *, dropout: float, super_dim: int) -> None:
        super().__init__()
        self.dropout, self.super_dim = dropout, super_dim
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        width = x.shape[-1]
        x = x + F.dropout(y, self.dropout * width / self.super_dim, self.training)
        return F.layer_norm(x, (width,), leading(self.weight, width), leading(self.bias, width))
