"""The objective of the released search of ShiftAddNAS: validation loss less "coefficient FLOPs".

It rewards what it should limit: the less loss minus FLOPs the better, so more attention is better. The FLOPs of the
encoder's feed-forward networks are left out, those of the decoder's enter with a minus sign, and the coefficients of
lightweight operators act on all layers before them as well. It serves to repeat the released search, nothing else.
"""

from tasks.translation.config import Operator, SuperShape, TransformerConfig, has_attention
from tasks.translation.counts import RELEASED_LENGTH

FLOPS_PER_UNIT = 1e10
LIGHTWEIGHT_COEFFICIENT = 0.6


def released_objective(loss: float, config: TransformerConfig, shape: SuperShape) -> float:
    """What the released search minimises. `loss` is in bits a token."""
    return loss - coefficient_flops(config, shape)


def coefficient_flops(config: TransformerConfig, shape: SuperShape) -> float:
    """The released code's weighted FLOPs of a network, in units of 1e10."""
    T, Q = RELEASED_LENGTH, shape.qkv_dim
    encoder = decoder = feed_forward = 0.0
    for layer in config.encoder:
        encoder += 4 * T * config.encoder_embed_dim * Q + 2 * T * T * Q
        encoder *= _coefficient(layer.operator)
    for decoder_layer in config.decoder:
        linear, products = T * config.decoder_embed_dim * Q, T * T * Q
        num_memories = {-1: 1, 1: 2, 2: 3}[decoder_layer.cross_span]
        cross = (2 + 2 * num_memories) * linear + 2 * num_memories * products
        decoder += 4 * linear + 2 * products + cross
        feed_forward += 2 * T * config.decoder_embed_dim * decoder_layer.ffn_dim
        decoder *= _coefficient(decoder_layer.operator)
        feed_forward *= 0.5
    return 2 * (encoder + decoder - feed_forward) / FLOPS_PER_UNIT


def _coefficient(operator: Operator) -> float:
    return 1.0 if has_attention(operator) else LIGHTWEIGHT_COEFFICIENT
