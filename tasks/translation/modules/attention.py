"""Multi-head attention whose queries, keys and values keep one width, whatever the width of the network.

Heads only re-partition that width (HAT, and ShiftAddNAS after it). fairseq's MultiheadAttention has queries as wide as
its input, which is why it cannot stand here.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tasks.translation.config import CrossSpan
from tasks.translation.modules.linear import SlicedLinear
from tasks.translation.modules.memory import Memory
from tasks.translation.modules.state import LayerState

# T positions (of queries), S positions of keys, B batch, C channels, H heads, D channels of a head


class SelfAttention(nn.Module):
    """Attention of a sequence to itself: (T, B, C) -> (T, B, C)."""

    def __init__(self, embed_dim: int, qkv_dim: int, *, causal: bool, dropout: float, quantized: bool) -> None:
        super().__init__()
        self.qkv_dim, self.causal, self.dropout = qkv_dim, causal, dropout
        self.in_proj = SlicedLinear(embed_dim, 3 * qkv_dim, quantized=quantized)
        self.out_proj = SlicedLinear(qkv_dim, embed_dim, quantized=quantized)

    def forward(
        self, x_TBC: Tensor, heads: int, visible_B11S: Tensor | None = None, state: LayerState | None = None
    ) -> Tensor:
        """Attend to what is visible; causal attention to no later position.

        Args:
            state: of causal attention, in steps of one position: the keys and values before it, to which this
                position's are added.
        """
        qkv = self.in_proj(x_TBC, 3 * self.qkv_dim).unflatten(-1, (3, heads, -1))
        q_BHTD, k_BHSD, v_BHSD = qkv.permute(2, 1, 3, 0, 4).unbind()
        if state is not None:
            if "keys" in state:
                k_BHSD = torch.cat((state["keys"], k_BHSD), 2)
                v_BHSD = torch.cat((state["values"], v_BHSD), 2)
            state["keys"], state["values"] = k_BHSD, v_BHSD
        y_BHTD = F.scaled_dot_product_attention(
            q_BHTD,
            k_BHSD,
            v_BHSD,
            attn_mask=visible_B11S,
            dropout_p=self.dropout if self.training else 0.0,
            is_causal=self.causal and state is None,
        )
        out: Tensor = self.out_proj(_joined(y_BHTD), x_TBC.shape[-1])
        return out


class CrossAttention(nn.Module):
    """Attention of the decoder to the encoder's outputs: (T, B, C) and (S, B, C') -> (T, B, C)."""

    def __init__(self, embed_dim: int, memory_dim: int, qkv_dim: int, *, dropout: float) -> None:
        super().__init__()
        self.qkv_dim, self.dropout = qkv_dim, dropout
        self.q_proj = SlicedLinear(embed_dim, qkv_dim)
        self.kv_proj = SlicedLinear(memory_dim, 2 * qkv_dim)
        self.out_proj = SlicedLinear(qkv_dim, embed_dim)
        for projection in (self.q_proj, self.kv_proj):  # as parts of one matrix, like self-attention's
            bound = math.sqrt(6 / (3 * qkv_dim + projection.weight.shape[1]))
            nn.init.uniform_(projection.weight, -bound, bound)

    def forward(
        self, x_TBC: Tensor, heads: int, memory: Memory, span: CrossSpan, state: LayerState | None = None
    ) -> Tensor:
        """Attend to the source's positions in this span; in steps, a state keeps their keys and values."""
        q_BHTD = self.q_proj(x_TBC, self.qkv_dim).unflatten(-1, (heads, -1)).permute(1, 2, 0, 3)
        if state is not None and "cross_keys" in state:
            k_BHSD, v_BHSD, visible_B11S = state["cross_keys"], state["cross_values"], state["cross_visible"]
        else:
            memory_SBC, visible_B11S = memory.span(span)
            kv = self.kv_proj(memory_SBC, 2 * self.qkv_dim).unflatten(-1, (2, heads, -1))
            k_BHSD, v_BHSD = kv.permute(2, 1, 3, 0, 4).unbind()
            if state is not None:
                state |= {"cross_keys": k_BHSD, "cross_values": v_BHSD, "cross_visible": visible_B11S}
        y_BHTD = F.scaled_dot_product_attention(
            q_BHTD, k_BHSD, v_BHSD, attn_mask=visible_B11S, dropout_p=self.dropout if self.training else 0.0
        )
        out: Tensor = self.out_proj(_joined(y_BHTD), x_TBC.shape[-1])
        return out


def _joined(y_BHTD: Tensor) -> Tensor:
    """The heads side by side, (T, B, H D)."""
    return y_BHTD.permute(2, 0, 1, 3).flatten(2)
