"""What a translation network is the sum of: its operators, feed-forward networks, cross attentions and vocabulary.

Each term says all that its computations depend on beside the super-transformer's shape, so equal terms cost the same.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from shiftaddnas.errors import UserError
from tasks.translation.config import (
    BRANCH_LIGHTWEIGHT_HEADS,
    CrossSpan,
    FeedForward,
    Operator,
    SuperShape,
    TransformerConfig,
    has_attention,
    lightweight_part,
)

Side = Literal["encoder", "decoder"]


@dataclass(frozen=True)
class TranslationWorkload:
    """What one network is priced for: the translation of one sentence.

    Args:
        source_length, target_length: tokens.
        beam: hypotheses that the decoder follows at a time.
        vocab_size: tokens that source and target have in common.

    Raises:
        UserError: a number is below 1.
    """

    source_length: int
    target_length: int
    beam: int
    vocab_size: int

    def __post_init__(self) -> None:
        for name in ("source_length", "target_length", "beam", "vocab_size"):
            if getattr(self, name) < 1:
                raise UserError(f"workload {name}={getattr(self, name)}; give a whole number of at least 1")


@dataclass(frozen=True)
class OperatorTerm:
    """What mixes the tokens of a layer, with the normalisation behind it. Attention alone has no kernel: size 0."""

    side: Side
    operator: Operator
    embed_dim: int
    heads: int
    kernel_size: int
    num_bits: int


@dataclass(frozen=True)
class CrossTerm:
    """The attention of a decoder layer to the outputs of 1, 2 or 3 encoder layers, with its normalisation."""

    embed_dim: int
    encoder_embed_dim: int
    heads: int
    span: CrossSpan

    @property
    def num_memories(self) -> int:
        """Encoder layers whose outputs are seen; keys are so many times the source."""
        return {-1: 1, 1: 2, 2: 3}[self.span]


@dataclass(frozen=True)
class FeedForwardTerm:
    """The feed-forward network of a layer, with the normalisation behind it."""

    embed_dim: int
    ffn_dim: int
    ffn: FeedForward
    num_bits: int
    side: Side


@dataclass(frozen=True)
class VocabularyTerm:
    """The embedding of source and target, and the output projection, all from one table."""

    encoder_embed_dim: int
    decoder_embed_dim: int


TranslationTerm = OperatorTerm | CrossTerm | FeedForwardTerm | VocabularyTerm


def operator_term(
    shape: SuperShape, side: Side, layer: int, operator: Operator, embed_dim: int, heads: int, num_bits: int
) -> OperatorTerm:
    """The operator of a layer, whose number settles the kernel size."""
    kernel_size = 0 if lightweight_part(operator) is None else shape.kernel_sizes[layer]
    return OperatorTerm(side, operator, embed_dim, heads, kernel_size, num_bits)


def network_terms(config: TransformerConfig, shape: SuperShape) -> Iterator[TranslationTerm]:
    """All terms of a network."""
    bits, width, memory_width = config.num_bits, config.decoder_embed_dim, config.encoder_embed_dim
    yield VocabularyTerm(memory_width, width)
    for number, encoder in enumerate(config.encoder):
        yield operator_term(shape, "encoder", number, encoder.operator, memory_width, encoder.heads, bits)
        yield FeedForwardTerm(memory_width, encoder.ffn_dim, encoder.ffn, bits, "encoder")
    for number, decoder in enumerate(config.decoder):
        yield operator_term(shape, "decoder", number, decoder.operator, width, decoder.heads, bits)
        yield CrossTerm(width, memory_width, decoder.cross_heads, decoder.cross_span)
        yield FeedForwardTerm(width, decoder.ffn_dim, decoder.ffn, bits, "decoder")


@dataclass(frozen=True)
class Parts:
    """The widths inside an operator; where it has both parts, each works on one half of the channels.

    Attributes:
        width: channels of each part.
        qkv_dim: of attention, None where there is none.
        kernels: different kernels of the lightweight part, None where there is none.
    """

    width: int
    qkv_dim: int | None
    kernels: int | None


def parts_of(term: OperatorTerm, shape: SuperShape) -> Parts:
    super_dim, super_heads = (
        (shape.encoder_embed_dim, shape.encoder_heads)
        if term.side == "encoder"
        else (shape.decoder_embed_dim, shape.decoder_heads)
    )
    if lightweight_part(term.operator) is None:
        return Parts(term.embed_dim, shape.qkv_dim, None)
    if not has_attention(term.operator):
        return Parts(term.embed_dim, None, super_heads)
    return Parts(term.embed_dim // 2, super_dim // 2, BRANCH_LIGHTWEIGHT_HEADS)
