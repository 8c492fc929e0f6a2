"""The decoder, as fairseq's generator and criteria use one."""

import torch.nn.functional as F
from torch import Tensor, nn

from shiftaddnas.sharing import WeightSharing
from tasks.translation.config import TransformerConfig
from tasks.translation.fairseq_adapter import Dictionary, FairseqIncrementalDecoder
from tasks.translation.modules.embedding import SharedEmbedding, SinusoidalPositions
from tasks.translation.modules.encoder import MAX_POSITIONS, EncoderOut
from tasks.translation.modules.layers import DecoderLayer
from tasks.translation.modules.memory import Memory
from tasks.translation.modules.quantization import set_bits
from tasks.translation.modules.settings import TransformerSettings
from tasks.translation.modules.sizes import StackSizes
from tasks.translation.modules.state import LayerState, reordered

Extra = dict[str, None]
IncrementalState = dict[str, LayerState]


class HybridDecoder(FairseqIncrementalDecoder):  # type: ignore[misc]  # fairseq is not typed
    """Embedding, positions, decoder layers, and the embedding again as output weights.

    With an incremental state (a dict that starts empty) a call computes the last position alone, and every operator
    computes there what it computes for whole sequences.

    Attributes:
        active: the config of calls that give none.
    """

    active: TransformerConfig | None

    def __init__(
        self,
        sizes: StackSizes,
        memory_dim: int,
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
            DecoderLayer(sizes, index, memory_dim, sharing=sharing, settings=settings, quantized=quantized)
            for index in range(len(sizes.layers))
        )

    def forward(
        self,
        prev_output_tokens: Tensor,
        encoder_out: EncoderOut,
        incremental_state: IncrementalState | None = None,
        config: TransformerConfig | None = None,
    ) -> tuple[Tensor, Extra]:
        """Tokens (B, T), padded on the right alone, to logits (B, T, V); (B, 1, V) with an incremental state."""
        x_BTC, extra = self.extract_features(prev_output_tokens, encoder_out, incremental_state, config)
        return self.output_layer(x_BTC), extra

    def extract_features(
        self,
        prev_output_tokens: Tensor,
        encoder_out: EncoderOut,
        incremental_state: IncrementalState | None = None,
        config: TransformerConfig | None = None,
    ) -> tuple[Tensor, Extra]:
        """As `forward`, but the last layer's outputs (B, T, C)."""
        config = config if config is not None else self.active
        assert config is not None, "give a config, or activate one"
        if self.quantized:
            set_bits(self, config.num_bits, self.grad_bits)
        x_TBC = self._embedded(prev_output_tokens, config.decoder_embed_dim, incremental_state)
        memory = Memory(encoder_out["encoder_states"], encoder_out["encoder_padding_mask"][0])
        for index, (layer, layer_config) in enumerate(zip(self.layers, config.decoder, strict=False)):
            if incremental_state is None:
                x_TBC = layer(x_TBC, layer_config, memory)
            else:
                key = f"layer_{index}"
                state: LayerState = self.get_incremental_state(incremental_state, key) or {}
                x_TBC = layer(x_TBC, layer_config, memory, state)
                self.set_incremental_state(incremental_state, key, state)
        return x_TBC.transpose(0, 1), {"attn": None}

    def output_layer(self, features: Tensor) -> Tensor:
        """(B, T, C) to logits (B, T, V)."""
        return self.embedding.logits(features)

    def reorder_incremental_state(self, incremental_state: IncrementalState, new_order: Tensor) -> None:
        """Take the rows `new_order` of the batch, in place."""
        for index in range(len(self.layers)):
            key = f"layer_{index}"
            state: LayerState | None = self.get_incremental_state(incremental_state, key)
            if state is not None:
                self.set_incremental_state(incremental_state, key, reordered(state, new_order))

    def max_positions(self) -> int:
        return MAX_POSITIONS

    def _embedded(self, tokens_BT: Tensor, width: int, incremental_state: IncrementalState | None) -> Tensor:
        if incremental_state is None:
            x_BTC: Tensor = self.embedding(tokens_BT, width)
            x_BTC = x_BTC + self.positions(tokens_BT, x_BTC)
        else:
            x_BTC = self.embedding(tokens_BT[:, -1:], width)
            x_BTC = x_BTC + self.positions.at(tokens_BT.shape[1], x_BTC)
        return F.dropout(x_BTC.transpose(0, 1), self.dropout * width / self.super_dim, self.training)
