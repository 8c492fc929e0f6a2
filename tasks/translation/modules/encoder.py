"""The encoder, as fairseq's generator and criteria use one."""

import torch.nn.functional as F
from torch import Tensor, nn

from shiftaddnas.sharing import WeightSharing
from tasks.translation.config import TransformerConfig
from tasks.translation.fairseq_adapter import Dictionary, FairseqEncoder
from tasks.translation.modules.embedding import SharedEmbedding, SinusoidalPositions
from tasks.translation.modules.layers import EncoderLayer
from tasks.translation.modules.padding import Padding
from tasks.translation.modules.quantization import set_bits
from tasks.translation.modules.settings import TransformerSettings
from tasks.translation.modules.sizes import StackSizes

MAX_POSITIONS = 1024
"""Tokens of the longest sentence that is taken."""

EncoderOut = dict[str, list[Tensor]]


class HybridEncoder(FairseqEncoder):  # type: ignore[misc]  # fairseq is not typed
    """Embedding, positions and encoder layers.

    Attributes:
        active: the config of calls that give none.
    """

    active: TransformerConfig | None

    def __init__(
        self,
        sizes: StackSizes,
        dictionary: Dictionary,
        embedding: SharedEmbedding,
        *,
        sharing: WeightSharing,
        settings: TransformerSettings,
        quantized: bool,
    ) -> None:
        super().__init__(dictionary)
        self.active = None
        self.dropout, self.super_dim = settings.dropout, sizes.super_dim
        self.quantized, self.grad_bits = quantized, settings.grad_bits
        self.embedding = embedding
        self.positions = SinusoidalPositions(sizes.super_dim, embedding.padding_idx, settings.positions)
        self.layers = nn.ModuleList(
            EncoderLayer(sizes, index, sharing=sharing, settings=settings, quantized=quantized)
            for index in range(len(sizes.layers))
        )

    def forward(
        self, src_tokens: Tensor, src_lengths: Tensor | None = None, config: TransformerConfig | None = None
    ) -> EncoderOut:
        """Source tokens (B, T), padded on either side, to fairseq's dictionary of lists.

        Returns:
            "encoder_out": the last layer's output (T, B, C). "encoder_states": the outputs of as many last layers
            as the decoder sees, in their order. "encoder_padding_mask": (B, T), True where there is no token.
        """
        config = config if config is not None else self.active
        assert config is not None, "give a config, or activate one"
        if self.quantized:
            set_bits(self, config.num_bits, self.grad_bits)
        width = config.encoder_embed_dim
        padding = Padding.of(src_tokens.eq(self.embedding.padding_idx))
        x_BTC = self.embedding(src_tokens, width)
        x_BTC = x_BTC + self.positions(src_tokens, x_BTC)
        x_TBC = F.dropout(x_BTC.transpose(0, 1), self.dropout * width / self.super_dim, self.training)
        num_states = 1 + max(0, *(layer_config.cross_span for layer_config in config.decoder))
        states = []
        for layer, layer_config in zip(self.layers, config.encoder, strict=False):
            x_TBC = layer(x_TBC, layer_config, padding)
            states.append(x_TBC)
        return {
            "encoder_out": [x_TBC],
            "encoder_states": states[-num_states:],
            "encoder_padding_mask": [padding.mask],
        }

    def reorder_encoder_out(self, encoder_out: EncoderOut, new_order: Tensor) -> EncoderOut:
        """The rows `new_order` of the batch."""
        states = [state.index_select(1, new_order) for state in encoder_out["encoder_states"]]
        masks = [mask.index_select(0, new_order) for mask in encoder_out["encoder_padding_mask"]]
        return {"encoder_out": states[-1:], "encoder_states": states, "encoder_padding_mask": masks}

    def max_positions(self) -> int:
        return MAX_POSITIONS
