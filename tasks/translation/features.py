"""What the latency predictors of HAT (ACL 2020) and ShiftAddNAS (ICML 2022) see of a translation network.

For six layers a side these are 94 numbers: ten of widths, depths and means over the active layers, then of each encoder
layer and each decoder layer which of the seven operators it has.
"""

from typing import get_args

import numpy as np
from numpy.typing import NDArray

from tasks.translation.config import Operator, SuperShape, TransformerConfig

OPERATORS: tuple[Operator, ...] = get_args(Operator)
SIZES = (
    "encoder_embed_dim",
    "encoder_layers",
    "encoder_ffn_dim",
    "encoder_heads",
    "decoder_embed_dim",
    "decoder_layers",
    "decoder_ffn_dim",
    "decoder_heads",
    "cross_heads",
    "cross_memories",
)


def columns(shape: SuperShape) -> tuple[str, ...]:
    """What each feature is, in order."""
    layers = [("encoder", shape.encoder_layers), ("decoder", shape.decoder_layers)]
    one_hots = (
        f"{side}_{layer}={operator}" for side, depth in layers for layer in range(depth) for operator in OPERATORS
    )
    return *SIZES, *one_hots


def transformer_features(config: TransformerConfig, shape: SuperShape) -> NDArray[np.float64]:
    """The features of a network, one for each column."""
    memories = [{-1: 1, 1: 2, 2: 3}[layer.cross_span] for layer in config.decoder]
    sizes = [
        config.encoder_embed_dim,
        len(config.encoder),
        np.mean([layer.ffn_dim for layer in config.encoder]),
        np.mean([layer.heads for layer in config.encoder]),
        config.decoder_embed_dim,
        len(config.decoder),
        np.mean([layer.ffn_dim for layer in config.decoder]),
        np.mean([layer.heads for layer in config.decoder]),
        np.mean([layer.cross_heads for layer in config.decoder]),
        np.mean(memories),
    ]
    one_hots = np.zeros((shape.encoder_layers + shape.decoder_layers, len(OPERATORS)))
    for number, encoder_layer in enumerate(config.encoder):
        one_hots[number, OPERATORS.index(encoder_layer.operator)] = 1
    for number, decoder_layer in enumerate(config.decoder, shape.encoder_layers):
        one_hots[number, OPERATORS.index(decoder_layer.operator)] = 1
    return np.concatenate([sizes, one_hots.ravel()])
