"""The operators of one layer, of which an arch takes one: attention, lightweight layers, or both side by side."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from shiftaddnas.sharing import WeightSharing
from tasks.translation.config import BRANCH_LIGHTWEIGHT_HEADS, Operator, has_attention, lightweight_part
from tasks.translation.modules.attention import SelfAttention
from tasks.translation.modules.lightweight import LightweightLayers
from tasks.translation.modules.padding import Padding
from tasks.translation.modules.settings import TransformerSettings
from tasks.translation.modules.sizes import StackSizes
from tasks.translation.modules.state import LayerState


class LayerOperators(nn.Module):
    """The operators that layer `index` of a stack offers: (T, B, C) -> (T, B, C).

    An operator with both parts splits the channels: the first half attends, the other passes the lightweight layer
    (Lite Transformer's branches); nothing mixes them but the layers around. Each of them has an attention branch of its
    own.

    Args:
        causal: the decoder's operators, which read no later position.
    """

    def __init__(
        self,
        stack: StackSizes,
        index: int,
        *,
        causal: bool,
        sharing: WeightSharing,
        settings: TransformerSettings,
        quantized: bool,
    ) -> None:
        super().__init__()
        names = self.offered = stack.layers[index].operators

        def attention(embed_dim: int, qkv_dim: int) -> SelfAttention:
            dropout = settings.attention_dropout
            return SelfAttention(embed_dim, qkv_dim, causal=causal, dropout=dropout, quantized=quantized)

        def lightweight(*, beside_attention: bool) -> LightweightLayers | None:
            parts = [
                part
                for name in names
                if has_attention(name) == beside_attention and (part := lightweight_part(name)) is not None
            ]
            if not parts:
                return None
            return LightweightLayers(
                parts,
                half if beside_attention else stack.embed_dim,
                BRANCH_LIGHTWEIGHT_HEADS if beside_attention else stack.heads,
                stack.kernel_sizes[index],
                causal=causal,
                sharing=sharing,
                settings=settings,
                quantized=quantized,
            )

        half = stack.embed_dim // 2
        self.attention = attention(stack.embed_dim, stack.qkv_dim) if "self_attention" in names else None
        self.lightweight = lightweight(beside_attention=False)
        self.branch_lightweight = lightweight(beside_attention=True)
        self.branch_attention = nn.ModuleDict()
        for name in names:
            part = lightweight_part(name)
            if has_attention(name) and part is not None:
                self.branch_attention[part] = attention(half, stack.branch_qkv_dim)

    def forward(
        self,
        x_TBC: Tensor,
        operator: Operator,
        heads: int,
        padding: Padding | None = None,
        state: LayerState | None = None,
    ) -> Tensor:
        visible, rows = (None, None) if padding is None else (padding.visible, padding.rows)
        part = lightweight_part(operator)
        if part is None:
            assert self.attention is not None
            out: Tensor = self.attention(x_TBC, heads, visible, state)
        elif not has_attention(operator):
            out = self._lightweight(operator)(x_TBC, part, rows, state)
        else:
            first, second = x_TBC.chunk(2, -1)
            first = self.branch_attention[part](first, heads, visible, state)
            out = torch.cat((first, self._lightweight(operator)(second, part, rows, state)), -1)
        return out

    def divergence(self, operator: Operator) -> Tensor | None:
        """How far the operator's lightweight kernel is from what it wants; None where there is none, or no map."""
        part = lightweight_part(operator)
        return None if part is None else self._lightweight(operator).divergence(part)

    def parameters_of(self, operator: Operator) -> Iterator[nn.Parameter]:
        """Every parameter that the operator computes with here; none where the layer does not offer it."""
        if operator not in self.offered:
            return
        part = lightweight_part(operator)
        if part is None:
            assert self.attention is not None
            yield from self.attention.parameters()
            return
        yield from self._lightweight(operator).parameters_of(part)
        if has_attention(operator):
            yield from self.branch_attention[part].parameters()

    def copy_kernels_(self, source: "LayerOperators") -> None:
        """Take the lightweight kernels, after their map, from a layer that is at least as wide and has them all."""
        pairs = ((self.lightweight, source.lightweight), (self.branch_lightweight, source.branch_lightweight))
        for own, other in pairs:
            if own is not None:
                assert other is not None
                own.copy_kernels_(other)

    def _lightweight(self, operator: Operator) -> LightweightLayers:
        layers = self.branch_lightweight if has_attention(operator) else self.lightweight
        assert layers is not None
        return layers
