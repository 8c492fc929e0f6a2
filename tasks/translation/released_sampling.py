"""The paths that the released supernet training of ShiftAddNAS (and HAT) takes: one an update, seeded by its number."""

import random
from typing import Any

from shiftaddnas.spaces import Arch, Choice
from tasks.translation.space import TranslationSpace


def released_arch(space: TranslationSpace, num_updates: int) -> Arch:
    """The arch that the released code trains in the update before which there were so many.

    It draws widths and depths, then each encoder layer, each decoder layer, and for all decoder layers of the
    super-transformer what they see of the encoder; it says nothing of bits and shift layers, which are the first of
    their options here. Options count in the order of the space's config.
    """
    rng = random.Random(num_updates)
    encoder, decoder = space.encoder, space.decoder
    choices: dict[str, Choice] = {"num_bits": space.num_bits[0]}
    choices["encoder_embed_dim"] = rng.choice(encoder.embed_dims)
    choices["decoder_embed_dim"] = rng.choice(decoder.embed_dims)
    choices["encoder_layers"] = encoder_layers = rng.choice(encoder.num_layers)
    choices["decoder_layers"] = decoder_layers = rng.choice(decoder.num_layers)

    def put(side: str, layer: int, **fields: Any) -> None:
        choices.update({f"{side}_{layer}_{field}": choice for field, choice in fields.items()})

    for layer in range(encoder_layers):
        ffn_dim, heads = rng.choice(encoder.ffn_dims), rng.choice(encoder.heads)
        (operator,) = rng.choices(encoder.operators)
        put("encoder", layer, ffn_dim=ffn_dim, heads=heads, operator=operator, ffn=encoder.ffns(layer)[0])
    for layer in range(decoder_layers):
        ffn_dim, heads, cross_heads = (
            rng.choice(options) for options in (decoder.ffn_dims, decoder.heads, decoder.cross_heads)
        )
        operator = rng.choice(decoder.operators)
        put("decoder", layer, ffn_dim=ffn_dim, heads=heads, cross_heads=cross_heads, operator=operator)
        put("decoder", layer, ffn=decoder.ffns(layer)[0])
    spans = [rng.choice(decoder.cross_spans) for _ in range(space.shape.decoder_layers)]
    for layer in range(decoder_layers):
        put("decoder", layer, cross_span=spans[layer])
    return space.arch(choices)
