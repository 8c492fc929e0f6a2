"""One layer of the encoder and one of the decoder, with all their candidates; a config says what is computed."""

from torch import Tensor, nn

from shiftaddnas.sharing import WeightSharing
from tasks.translation.config import DecoderLayerConfig, EncoderLayerConfig
from tasks.translation.modules.attention import CrossAttention
from tasks.translation.modules.feed_forward import SlicedFeedForward
from tasks.translation.modules.memory import Memory
from tasks.translation.modules.norm import ResidualNorm
from tasks.translation.modules.operators import LayerOperators
from tasks.translation.modules.padding import Padding
from tasks.translation.modules.settings import TransformerSettings
from tasks.translation.modules.sizes import StackSizes
from tasks.translation.modules.state import LayerState


class EncoderLayer(nn.Module):
    """Operator and feed-forward network, each with residual and normalisation: (T, B, C) -> (T, B, C)."""

    def __init__(
        self,
        stack: StackSizes,
        index: int,
        *,
        sharing: WeightSharing,
        settings: TransformerSettings,
        quantized: bool,
    ) -> None:
        super().__init__()
        self.operators = LayerOperators(
            stack, index, causal=False, sharing=sharing, settings=settings, quantized=quantized
        )
        self.operator_norm = _norm(stack, settings)
        self.ffn = _feed_forward(stack, index, quantized=quantized)
        self.ffn_norm = _norm(stack, settings)

    def forward(self, x_TBC: Tensor, config: EncoderLayerConfig, padding: Padding) -> Tensor:
        x_TBC = self.operator_norm(x_TBC, self.operators(x_TBC, config.operator, config.heads, padding))
        out: Tensor = self.ffn_norm(x_TBC, self.ffn[config.ffn](x_TBC, config.ffn_dim))
        return out


class DecoderLayer(nn.Module):
    """Causal operator, attention to the encoder and feed-forward network, likewise.

    Targets are padded behind their last token: no position reads what comes after it.
    """

    def __init__(
        self,
        stack: StackSizes,
        index: int,
        memory_dim: int,
        *,
        sharing: WeightSharing,
        settings: TransformerSettings,
        quantized: bool,
    ) -> None:
        super().__init__()
        self.operators = LayerOperators(
            stack, index, causal=True, sharing=sharing, settings=settings, quantized=quantized
        )
        self.operator_norm = _norm(stack, settings)
        self.cross_attention = CrossAttention(
            stack.embed_dim, memory_dim, stack.qkv_dim, dropout=settings.attention_dropout
        )
        self.cross_norm = _norm(stack, settings)
        self.ffn = _feed_forward(stack, index, quantized=quantized)
        self.ffn_norm = _norm(stack, settings)

    def forward(
        self, x_TBC: Tensor, config: DecoderLayerConfig, memory: Memory, state: LayerState | None = None
    ) -> Tensor:
        """All positions; with a state the next one alone, which is added to the state."""
        x_TBC = self.operator_norm(x_TBC, self.operators(x_TBC, config.operator, config.heads, state=state))
        attended = self.cross_attention(x_TBC, config.cross_heads, memory, config.cross_span, state)
        x_TBC = self.cross_norm(x_TBC, attended)
        out: Tensor = self.ffn_norm(x_TBC, self.ffn[config.ffn](x_TBC, config.ffn_dim))
        return out


def _norm(stack: StackSizes, settings: TransformerSettings) -> ResidualNorm:
    return ResidualNorm(stack.embed_dim, dropout=settings.dropout, super_dim=stack.super_dim)


def _feed_forward(stack: StackSizes, index: int, *, quantized: bool) -> nn.ModuleDict:
    sizes = stack.layers[index]
    return nn.ModuleDict(
        {kind: SlicedFeedForward(stack.embed_dim, sizes.ffn_dim, kind, quantized=quantized) for kind in sizes.ffns}
    )
