"""Parameters and FLOPs of translation networks in closed form, counted as in the released ShiftAddNAS code (ICML 2022).

Embeddings and the output projection are left out of both. A shift layer counts as one tensor and a bias, though it has
two (exponents and signs), and the normalisation behind a lightweight operator that stands alone is not counted. What a
network really holds is the sum of `Layer.num_params`.
"""

from collections.abc import Iterable

from tasks.translation.config import Operator, SuperShape, TransformerConfig, lightweight_part
from tasks.translation.terms import (
    CrossTerm,
    FeedForwardTerm,
    OperatorTerm,
    Side,
    TranslationTerm,
    VocabularyTerm,
    network_terms,
    operator_term,
    parts_of,
)

RELEASED_LENGTH = 30
"""Tokens of source and target for which the released code counts FLOPs."""


def num_params(config: TransformerConfig, shape: SuperShape) -> int:
    """Parameters of a network, released counting."""
    return sum(term_params(term, shape) for term in network_terms(config, shape))


def flops(config: TransformerConfig, shape: SuperShape, length: int = RELEASED_LENGTH) -> int:
    """FLOPs of one teacher-forced pass over a sentence pair of this length: two for each MAC, released counting."""
    return 2 * sum(term_macs(term, shape, length, length) for term in network_terms(config, shape))


def term_params(term: TranslationTerm, shape: SuperShape) -> int:
    """What a term adds to `num_params`."""
    match term:
        case OperatorTerm():
            parts = parts_of(term, shape)
            total = 0 if parts.qkv_dim is None else _attention(parts.width, parts.width, parts.qkv_dim)
            if parts.kernels is not None:
                num_linears = 3 if lightweight_part(term.operator) == "shiftadd" else 2
                total += parts.kernels * term.kernel_size + num_linears * _linear(parts.width, parts.width)
            return total + (0 if parts.qkv_dim is None else 2 * term.embed_dim)
        case CrossTerm():
            return _attention(term.embed_dim, term.encoder_embed_dim, shape.qkv_dim) + 2 * term.embed_dim
        case FeedForwardTerm():
            return _feed_forward(term.embed_dim, term.ffn_dim) + 2 * term.embed_dim
        case VocabularyTerm():
            return 0


def term_macs(term: TranslationTerm, shape: SuperShape, source_length: int, target_length: int) -> int:
    """What a term adds to the MACs of one teacher-forced pass.

    Linear layers (shift layers too), products of attention, normalised values, scaled queries and embeddings count;
    depthwise operators do not. The tracer of the released code also counts three scalars a module of attention and a
    mask over each sentence.
    """
    match term:
        case OperatorTerm():
            parts, length = parts_of(term, shape), source_length if term.side == "encoder" else target_length
            total = length * term.embed_dim
            if parts.qkv_dim is not None:
                total += _attention_macs(parts.width, parts.width, parts.qkv_dim, length, length)
            if parts.kernels is not None:
                num_linears = 3 if lightweight_part(term.operator) == "shiftadd" else 2
                total += num_linears * length * parts.width**2
            return total
        case CrossTerm():
            keys = source_length * term.num_memories
            macs = _attention_macs(term.embed_dim, term.encoder_embed_dim, shape.qkv_dim, target_length, keys)
            return macs + target_length * term.embed_dim
        case FeedForwardTerm():
            length = source_length if term.side == "encoder" else target_length
            return length * (2 * term.embed_dim * term.ffn_dim + term.embed_dim)
        case VocabularyTerm():
            return source_length * (term.encoder_embed_dim + 1) + target_length * (term.decoder_embed_dim + 1)


def supernet_params(
    shape: SuperShape, encoder_operators: Iterable[Operator], decoder_operators: Iterable[Operator]
) -> int:
    """Parameters of a supernet in which every operator of every layer has its own, without its embedding.

    Here both tensors of a shift layer count, and so does every normalisation.
    """

    def side(side: Side, width: int, heads: int, ffn_dim: int, num_layers: int, operators: Iterable[Operator]) -> int:
        total = 0
        for layer in range(num_layers):
            for operator in operators:
                term = operator_term(shape, side, layer, operator, width, heads, num_bits=32)
                total += term_params(term, shape)
                parts = parts_of(term, shape)
                if parts.qkv_dim is not None:
                    total -= 2 * width  # one normalisation serves all operators
                if lightweight_part(operator) == "shiftadd":
                    total += parts.width**2
            total += 2 * width + _feed_forward(width, ffn_dim) + 2 * width
        return total

    width, memory_width = shape.decoder_embed_dim, shape.encoder_embed_dim
    cross = _attention(width, memory_width, shape.qkv_dim) + 2 * width
    return (
        side(
            "encoder", memory_width, shape.encoder_heads, shape.encoder_ffn_dim, shape.encoder_layers, encoder_operators
        )
        + side("decoder", width, shape.decoder_heads, shape.decoder_ffn_dim, shape.decoder_layers, decoder_operators)
        + shape.decoder_layers * cross
    )


def _linear(C: int, M: int) -> int:
    return C * M + M


def _feed_forward(width: int, ffn_dim: int) -> int:
    return _linear(width, ffn_dim) + _linear(ffn_dim, width)


def _attention(width: int, memory_width: int, qkv_dim: int) -> int:
    return _linear(width, qkv_dim) + 2 * _linear(memory_width, qkv_dim) + _linear(qkv_dim, width)


def _attention_macs(width: int, memory_width: int, qkv_dim: int, queries: int, keys: int) -> int:
    projections = qkv_dim * (2 * queries * width + 2 * keys * memory_width)
    return projections + 2 * queries * keys * qkv_dim + queries * qkv_dim + 3
