"""The feed-forward network of a layer, of linear layers or of shift layers."""

import torch.nn.functional as F
from torch import Tensor, nn

from tasks.translation.config import FeedForward
from tasks.translation.modules.linear import SlicedLinear, SlicedShiftLinear


class SlicedFeedForward(nn.Module):
    """fc2(relu(fc1(x))), with as many hidden channels as asked for."""

    def __init__(self, embed_dim: int, ffn_dim: int, kind: FeedForward, *, quantized: bool) -> None:
        super().__init__()
        self.fc1: SlicedLinear | SlicedShiftLinear
        self.fc2: SlicedLinear | SlicedShiftLinear
        if kind == "linear":
            self.fc1 = SlicedLinear(embed_dim, ffn_dim, quantized=quantized)
            self.fc2 = SlicedLinear(ffn_dim, embed_dim, quantized=quantized)
        else:
            self.fc1 = SlicedShiftLinear(embed_dim, ffn_dim)
            self.fc2 = SlicedShiftLinear(ffn_dim, embed_dim)

    def forward(self, x: Tensor, ffn_dim: int) -> Tensor:
        out: Tensor = self.fc2(F.relu(self.fc1(x, ffn_dim)), x.shape[-1])
        return out
