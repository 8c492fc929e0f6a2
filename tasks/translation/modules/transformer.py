"""The hybrid transformer: every network of a super-transformer, or one network alone, as a model of fairseq's kind."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from shiftaddnas.sharing import Independent, WeightSharing
from tasks.translation.config import Operator, TransformerConfig
from tasks.translation.fairseq_adapter import Dictionary, FairseqEncoderDecoderModel
from tasks.translation.modules.decoder import Extra, HybridDecoder
from tasks.translation.modules.embedding import SharedEmbedding
from tasks.translation.modules.encoder import HybridEncoder
from tasks.translation.modules.linear import leading
from tasks.translation.modules.operators import LayerOperators
from tasks.translation.modules.settings import TransformerSettings
from tasks.translation.modules.sizes import TransformerSizes


class HybridTransformer(FairseqEncoderDecoderModel):  # type: ignore[misc]  # fairseq is not typed
    """Encoder and decoder over one dictionary, with the tensors that `sizes` says.

    fairseq's criteria and generators call it without a config: give the network's own, or set one by `activate`.

    Args:
        config: what calls without a config compute, outside `activate`.
    """

    def __init__(
        self,
        sizes: TransformerSizes,
        dictionary: Dictionary,
        *,
        sharing: WeightSharing,
        settings: TransformerSettings,
        config: TransformerConfig | None = None,
    ) -> None:
        widths, quantized = (sizes.encoder.embed_dim, sizes.decoder.embed_dim), sizes.is_quantized
        embedding = SharedEmbedding(len(dictionary), max(widths), dictionary.pad())
        encoder = HybridEncoder(
            sizes.encoder, dictionary, embedding, sharing=sharing, settings=settings, quantized=quantized
        )
        decoder = HybridDecoder(
            sizes.decoder,
            widths[0],
            dictionary,
            embedding,
            sharing=sharing,
            settings=settings,
            quantized=quantized,
        )
        super().__init__(encoder, decoder)
        self.sizes, self.dictionary, self.settings = sizes, dictionary, settings
        if config is not None:
            self._set(config)

    def forward(
        self,
        src_tokens: Tensor,
        src_lengths: Tensor,
        prev_output_tokens: Tensor,
        config: TransformerConfig | None = None,
    ) -> tuple[Tensor, Extra]:
        """Logits (B, T, V) of all target positions, each from the source and the tokens up to it.

        Args:
            src_tokens: (B, S), padded on either side.
            src_lengths: (B,), for fairseq alone; the padding says it.
            prev_output_tokens: (B, T), padded on the right.

        Raises:
            UserError: the network of the config is no slice of this one.
        """
        if config is not None:
            self.sizes.check(config)
        encoder_out = self.encoder(src_tokens, src_lengths, config)
        out: tuple[Tensor, Extra] = self.decoder(prev_output_tokens, encoder_out, None, config)
        return out

    @contextmanager
    def activate(self, config: TransformerConfig) -> Iterator[None]:
        """Within this context, calls without a config compute this one; those of encoder and decoder too.

        Raises:
            UserError: the network of the config is no slice of this one.
        """
        before = self.encoder.active
        self._set(config)
        try:
            yield
        finally:
            self.encoder.active = self.decoder.active = before

    def used_operators(self, config: TransformerConfig) -> Iterator[tuple[LayerOperators, Operator]]:
        """The operators of each layer that the config has, and which of them it takes."""
        encoder, decoder = ([layer.operator for layer in layers] for layers in (config.encoder, config.decoder))
        for stack, names in ((self.encoder, encoder), (self.decoder, decoder)):
            yield from ((layer.operators, name) for layer, name in zip(stack.layers, names, strict=False))

    def _set(self, config: TransformerConfig) -> None:
        self.sizes.check(config)
        self.encoder.active = self.decoder.active = config


def single_path(
    sizes: TransformerSizes, config: TransformerConfig, dictionary: Dictionary, settings: TransformerSettings
) -> HybridTransformer:
    """A network that always computes this config, with fresh weights of these sizes."""
    return HybridTransformer(sizes, dictionary, sharing=Independent(), settings=settings, config=config)


@torch.no_grad()
def extracted(source: HybridTransformer, config: TransformerConfig) -> HybridTransformer:
    """The network of one config alone, in its own sizes, with copies of the weights it has in `source`.

    Raises:
        UserError: the network of the config is no slice of `source`.
    """
    with torch.device("meta"):  # its fresh weights would be drawn in vain, and change what is drawn next
        network = single_path(source.sizes.cut(config), config, source.dictionary, source.settings)
    network.to_empty(device=source.encoder.embedding.weight.device)
    tensors = source.state_dict()
    for name, tensor in network.state_dict().items():
        if name in tensors:
            tensor.copy_(leading(tensors[name], *tensor.shape))
        else:
            assert ".own." in name, f"{name} is no kernel of a slot, which is copied below"
    for stack, source_stack in ((network.encoder, source.encoder), (network.decoder, source.decoder)):
        for layer, source_layer in zip(stack.layers, source_stack.layers, strict=False):
            layer.operators.copy_kernels_(source_layer.operators)
    network.train(source.training)
    return network
