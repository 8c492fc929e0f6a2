"""Tokens to vectors and back: one table for source, target and output, and sinusoidal positions."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.translation.fairseq_adapter import SinusoidalPositionalEmbedding
from tasks.translation.modules.linear import leading
from tasks.translation.modules.settings import Positions


class SharedEmbedding(nn.Module):
    """A table (V, S) whose rows, cut to a network's width, are source words, target words and output weights.

    From N(0, 1 / S); the padding's row is 0, and looking it up gives it no gradient.
    """

    def __init__(self, num_tokens: int, embed_dim: int, padding_idx: int) -> None:
        super().__init__()
        self.padding_idx = padding_idx
        self.weight = nn.Parameter(torch.empty(num_tokens, embed_dim))
        nn.init.normal_(self.weight, std=embed_dim**-0.5)
        with torch.no_grad():
            self.weight[padding_idx] = 0.0

    def forward(self, tokens_BT: Tensor, width: int) -> Tensor:
        """The tokens' vectors (B, T, width), times the root of the width."""
        rows = F.embedding(tokens_BT, self.weight, self.padding_idx)
        return math.sqrt(width) * (rows if rows.shape[-1] == width else rows[..., :width])

    def logits(self, x: Tensor) -> Tensor:
        """(..., width) -> (..., V)."""
        return F.linear(x, leading(self.weight, self.weight.shape[0], x.shape[-1]))


class SinusoidalPositions(nn.Module):
    """Sinusoidal position vectors at any width, counted from the first token, wherever the padding is.

    Of width E, in fairseq's form: sin(n f_k) for k = 0 ... E/2 - 1, then cos(n f_k), with f_k = 10000^(-k / (E/2 - 1));
    the first token of a sentence has n = padding_idx + 1, and padded positions have zeros.

    Args:
        super_dim: the width whose leading columns are taken where `positions` is "truncated".
    """

    def __init__(self, super_dim: int, padding_idx: int, positions: Positions) -> None:
        super().__init__()
        self.super_dim, self.padding_idx, self.positions = super_dim, padding_idx, positions
        self._tables: dict[int, Tensor] = {}

    def forward(self, tokens_BT: Tensor, like: Tensor) -> Tensor:
        """The vectors of all positions, of the type and width of `like`: (B, T, width)."""
        is_token = tokens_BT.ne(self.padding_idx)
        index = is_token.cumsum(1) * is_token + self.padding_idx
        return F.embedding(index, self._table(tokens_BT.shape[1], like))

    def at(self, length: int, like: Tensor) -> Tensor:
        """The vector (width,) of the last position of a sequence of so many tokens, none of them padding."""
        return self._table(length, like)[self.padding_idx + length]

    def _table(self, length: int, like: Tensor) -> Tensor:
        width, num_rows = like.shape[-1], self.padding_idx + 1 + length
        table = self._tables.get(width)
        if table is None or len(table) < num_rows or table.device != like.device or table.dtype != like.dtype:
            num_rows = max(256, 2 ** num_rows.bit_length())
            full_width = width if self.positions == "per_width" else self.super_dim
            full = SinusoidalPositionalEmbedding.get_embedding(num_rows, full_width, self.padding_idx)
            table = full[:, :width].to(like).contiguous()
            self._tables[width] = table
        return table
