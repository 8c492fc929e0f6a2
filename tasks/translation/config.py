"""What one translation network is, as typed plain data: the sizes of the super-transformer and one choice inside it.

A space's Arch is a row of named decisions; `TransformerConfig` is the same choice in the shape that models, counts and
the released files read. No torch and no fairseq here.
"""

from dataclasses import dataclass
from typing import Literal

Operator = Literal[
    "lightweight_conv",
    "lightweight_add",
    "lightweight_shiftadd",
    "self_attention",
    "self_attention+lightweight_conv",
    "self_attention+lightweight_add",
    "self_attention+lightweight_shiftadd",
]
Lightweight = Literal["conv", "add", "shiftadd"]
FeedForward = Literal["linear", "shift"]
CrossSpan = Literal[-1, 1, 2]

FULL_PRECISION = 32
BRANCH_LIGHTWEIGHT_HEADS = 4
"""Kernels of the lightweight half beside attention, in every network."""

_LIGHTWEIGHT: dict[str, Lightweight] = {
    "lightweight_conv": "conv",
    "lightweight_add": "add",
    "lightweight_shiftadd": "shiftadd",
}


def has_attention(operator: Operator) -> bool:
    return operator.startswith("self_attention")


def lightweight_part(operator: Operator) -> Lightweight | None:
    """The lightweight layer within an operator; None for attention alone."""
    return _LIGHTWEIGHT.get(operator.removeprefix("self_attention+"))


@dataclass(frozen=True)
class SuperShape:
    """Sizes of the full tensors that every network of a space is a slice of.

    Attributes:
        qkv_dim: width of queries, keys and values; never sliced.
        kernel_sizes: taps of the lightweight operators, by layer, in encoder and decoder.
    """

    encoder_embed_dim: int
    decoder_embed_dim: int
    encoder_ffn_dim: int
    decoder_ffn_dim: int
    encoder_heads: int
    decoder_heads: int
    encoder_layers: int = 6
    decoder_layers: int = 6
    qkv_dim: int = 512
    kernel_sizes: tuple[int, ...] = (3, 7, 15, 31, 31, 31)


@dataclass(frozen=True)
class EncoderLayerConfig:
    operator: Operator
    heads: int
    ffn_dim: int
    ffn: FeedForward = "linear"


@dataclass(frozen=True)
class DecoderLayerConfig:
    """One decoder layer.

    Attributes:
        cross_span: what cross attention sees: -1 the last encoder layer's output, 1 the last two, 2 the last three.
    """

    operator: Operator
    heads: int
    ffn_dim: int
    cross_heads: int
    cross_span: CrossSpan
    ffn: FeedForward = "linear"


@dataclass(frozen=True)
class TransformerConfig:
    """One network: the active layers alone.

    Attributes:
        num_bits: of weights and activations in training and evaluation; 32 is floating point.
    """

    encoder_embed_dim: int
    decoder_embed_dim: int
    encoder: tuple[EncoderLayerConfig, ...]
    decoder: tuple[DecoderLayerConfig, ...]
    num_bits: int = FULL_PRECISION
