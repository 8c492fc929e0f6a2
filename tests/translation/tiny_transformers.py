"""Hybrid transformers of a few channels, and batches for them."""

from dataclasses import replace
from typing import get_args

import torch
from torch import Tensor

from shiftaddnas.sharing import Independent, WeightSharing
from tasks.translation.config import (
    CrossSpan,
    DecoderLayerConfig,
    EncoderLayerConfig,
    FeedForward,
    Operator,
    SuperShape,
    TransformerConfig,
)
from tasks.translation.fairseq_adapter import Dictionary
from tasks.translation.modules.settings import TransformerSettings
from tasks.translation.modules.sizes import LayerSizes, super_sizes
from tasks.translation.modules.transformer import HybridTransformer

OPERATORS: tuple[Operator, ...] = get_args(Operator)
SHAPE = SuperShape(
    encoder_embed_dim=16,
    decoder_embed_dim=16,
    encoder_ffn_dim=24,
    decoder_ffn_dim=24,
    encoder_heads=4,
    decoder_heads=4,
    encoder_layers=3,
    decoder_layers=2,
    qkv_dim=16,
    kernel_sizes=(3, 7, 5),
)
NO_DROPOUT = TransformerSettings(dropout=0.0, attention_dropout=0.0, weight_dropout=0.0)
PAD = 1


def dictionary(num_words: int = 20) -> Dictionary:
    """Words behind fairseq's four symbols: bos 0, pad 1, eos 2, unk 3."""
    words = Dictionary()
    for number in range(num_words):
        words.add_symbol(f"w{number}")
    return words


def tiny_config(
    encoder: Operator = "self_attention",
    decoder: Operator | None = None,
    *,
    width: int = 16,
    ffn_dim: int = 24,
    span: CrossSpan = 2,
    ffn: FeedForward = "linear",
    decoder_layers: int = 2,
) -> TransformerConfig:
    """The same operator in all layers of encoder and decoder."""
    encoder_layer = EncoderLayerConfig(operator=encoder, heads=4, ffn_dim=ffn_dim, ffn=ffn)
    decoder_layer = DecoderLayerConfig(
        operator=encoder if decoder is None else decoder,
        heads=2,
        ffn_dim=ffn_dim,
        cross_heads=4,
        cross_span=span,
        ffn=ffn,
    )
    return TransformerConfig(width, width, (encoder_layer,) * 3, (decoder_layer,) * decoder_layers)


def tiny_transformer(
    sharing: WeightSharing | None = None,
    *,
    settings: TransformerSettings = NO_DROPOUT,
    ffns: tuple[FeedForward, ...] = ("linear", "shift"),
    num_bits: tuple[int, ...] = (32,),
    shape: SuperShape = SHAPE,
) -> HybridTransformer:
    """All operators everywhere; biases and affine pairs are random too, so that none of them can hide."""
    torch.manual_seed(0)
    encoder = [LayerSizes(shape.encoder_ffn_dim, OPERATORS, ffns)] * shape.encoder_layers
    decoder = [LayerSizes(shape.decoder_ffn_dim, OPERATORS, ffns)] * shape.decoder_layers
    network = HybridTransformer(
        super_sizes(shape, encoder, decoder, num_bits),
        dictionary(),
        sharing=Independent() if sharing is None else sharing,
        settings=settings,
    )
    randomize_vectors(network)
    return network.eval()


@torch.no_grad()
def randomize_vectors(network: torch.nn.Module) -> None:
    for name, parameter in network.named_parameters():
        if parameter.dim() == 1 and "slopes" not in name:
            parameter.add_(0.3 * torch.randn(parameter.shape))


def sentences(lengths: tuple[int, ...], *, left: bool, seed: int = 0) -> Tensor:
    """Random sentences (B, T) that end with eos 2, filled up with padding."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.full((len(lengths), max(lengths)), PAD)
    for row, length in enumerate(lengths):
        words = torch.randint(4, 24, (length - 1,), generator=generator).tolist()
        filled = torch.tensor([*words, 2])
        tokens[row, -length:] = filled if left else tokens[row, -length:]
        if not left:
            tokens[row, :length] = filled
    return tokens


def batch(source: tuple[int, ...] = (7, 4, 2), target: tuple[int, ...] = (5, 6, 3)) -> dict[str, Tensor]:
    """fairseq's "net_input": sources padded on the left, targets on the right."""
    return {
        "src_tokens": sentences(source, left=True),
        "src_lengths": torch.tensor(source),
        "prev_output_tokens": sentences(target, left=False, seed=1),
    }


def with_bits(config: TransformerConfig, num_bits: int) -> TransformerConfig:
    return replace(config, num_bits=num_bits)
