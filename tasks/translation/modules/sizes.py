"""How large the tensors of a hybrid transformer are and which operators its layers offer: a supernet's, or one path's.

What never shrinks with a network comes from the super-transformer's shape (ShiftAddNAS, and HAT before it): widths of
queries, keys and values, the heads of lightweight layers, kernel sizes, and the width that dropout is relative to.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from shiftaddnas.errors import UserError
from tasks.translation.config import (
    BRANCH_LIGHTWEIGHT_HEADS,
    FULL_PRECISION,
    DecoderLayerConfig,
    EncoderLayerConfig,
    FeedForward,
    Operator,
    SuperShape,
    TransformerConfig,
    has_attention,
    lightweight_part,
)


@dataclass(frozen=True)
class LayerSizes:
    """One layer: its feed-forward width, the operators it offers, and the kinds of feed-forward network."""

    ffn_dim: int
    operators: tuple[Operator, ...]
    ffns: tuple[FeedForward, ...] = ("linear",)


@dataclass(frozen=True)
class StackSizes:
    """Encoder or decoder.

    Attributes:
        embed_dim: width of its tensors.
        super_dim: width of the super-transformer's.
        heads: kernels of the lightweight layers that stand alone.
    """

    embed_dim: int
    super_dim: int
    heads: int
    qkv_dim: int
    kernel_sizes: tuple[int, ...]
    layers: tuple[LayerSizes, ...]

    @property
    def branch_qkv_dim(self) -> int:
        """Width of queries, keys and values where attention has half of the channels."""
        return self.super_dim // 2

    def cut(self, embed_dim: int, layers: Sequence[EncoderLayerConfig | DecoderLayerConfig]) -> "StackSizes":
        """The same with the tensors of one network alone."""
        sizes = tuple(LayerSizes(layer.ffn_dim, (layer.operator,), (layer.ffn,)) for layer in layers)
        return replace(self, embed_dim=embed_dim, layers=sizes)


@dataclass(frozen=True)
class TransformerSizes:
    """All tensors of a hybrid transformer.

    Attributes:
        num_bits: what a config may choose as bits of weights and activations; 32 is floating point.
    """

    encoder: StackSizes
    decoder: StackSizes
    num_bits: tuple[int, ...] = (FULL_PRECISION,)

    @property
    def is_quantized(self) -> bool:
        """Whether some config computes with fewer bits."""
        return min(self.num_bits) < FULL_PRECISION

    def cut(self, config: TransformerConfig) -> "TransformerSizes":
        """The tensors of the network of one config alone.

        Raises:
            UserError: it is no slice of these.
        """
        self.check(config)
        return TransformerSizes(
            self.encoder.cut(config.encoder_embed_dim, config.encoder),
            self.decoder.cut(config.decoder_embed_dim, config.decoder),
            (config.num_bits,),
        )

    def check(self, config: TransformerConfig) -> None:
        """Raise a UserError unless the network of this config is a slice of these tensors."""
        _check_stack("encoder", self.encoder, config.encoder_embed_dim, config.encoder)
        _check_stack("decoder", self.decoder, config.decoder_embed_dim, config.decoder)
        if config.num_bits not in self.num_bits:
            allowed = ", ".join(map(str, self.num_bits))
            raise UserError(f"num_bits={config.num_bits}, but the network is made for {allowed}; choose among them")
        for index, layer in enumerate(config.decoder):
            if self.decoder.qkv_dim % layer.cross_heads:
                raise UserError(
                    f"decoder layer {index}: cross_heads={layer.cross_heads} does not divide "
                    f"qkv_dim={self.decoder.qkv_dim}; choose a number that does"
                )
            if layer.cross_span >= len(config.encoder):
                raise UserError(
                    f"decoder layer {index}: cross_span={layer.cross_span} needs {layer.cross_span + 1} encoder "
                    f"layers, there are {len(config.encoder)}; use -1 (the last layer alone) or more layers"
                )


def super_sizes(
    shape: SuperShape,
    encoder: Sequence[LayerSizes],
    decoder: Sequence[LayerSizes],
    num_bits: tuple[int, ...] = (FULL_PRECISION,),
) -> TransformerSizes:
    """The super-transformer with these layers."""
    fixed = (shape.qkv_dim, shape.kernel_sizes)
    return TransformerSizes(
        StackSizes(shape.encoder_embed_dim, shape.encoder_embed_dim, shape.encoder_heads, *fixed, tuple(encoder)),
        StackSizes(shape.decoder_embed_dim, shape.decoder_embed_dim, shape.decoder_heads, *fixed, tuple(decoder)),
        num_bits,
    )


def path_sizes(shape: SuperShape, config: TransformerConfig) -> TransformerSizes:
    """The path of one config through the super-transformer, in the super-transformer's widths."""
    encoder = [LayerSizes(shape.encoder_ffn_dim, (layer.operator,), (layer.ffn,)) for layer in config.encoder]
    decoder = [LayerSizes(shape.decoder_ffn_dim, (layer.operator,), (layer.ffn,)) for layer in config.decoder]
    return super_sizes(shape, encoder, decoder, (config.num_bits,))


def _check_stack(
    name: str, sizes: StackSizes, embed_dim: int, layers: Sequence[EncoderLayerConfig | DecoderLayerConfig]
) -> None:
    if not 0 < embed_dim <= sizes.embed_dim:
        raise UserError(f"{name}_embed_dim={embed_dim}; the network's tensors have {sizes.embed_dim}, use no more")
    if not 0 < len(layers) <= len(sizes.layers):
        raise UserError(f"{len(layers)} {name} layers; the network has {len(sizes.layers)}, use 1 to that")
    for index, (layer, offered) in enumerate(zip(layers, sizes.layers, strict=False)):
        where = f"{name} layer {index}"
        if layer.operator not in offered.operators:
            allowed = ", ".join(offered.operators)
            raise UserError(f"{where}: operator={layer.operator} is not offered there; allowed are {allowed}")
        if layer.ffn not in offered.ffns:
            raise UserError(f"{where}: ffn={layer.ffn} is not offered there; allowed are {', '.join(offered.ffns)}")
        if not 0 < layer.ffn_dim <= offered.ffn_dim:
            raise UserError(f"{where}: ffn_dim={layer.ffn_dim}; the network's tensors have {offered.ffn_dim}")
        _check_channels(where, sizes, embed_dim, layer)


def _check_channels(
    where: str, sizes: StackSizes, embed_dim: int, layer: EncoderLayerConfig | DecoderLayerConfig
) -> None:
    attentive, light = has_attention(layer.operator), lightweight_part(layer.operator) is not None
    qkv_dim = sizes.branch_qkv_dim if light else sizes.qkv_dim
    if attentive and qkv_dim % layer.heads:
        raise UserError(f"{where}: heads={layer.heads} does not divide {qkv_dim} channels of queries; change either")
    kernels, channels = (BRANCH_LIGHTWEIGHT_HEADS, embed_dim // 2) if attentive else (sizes.heads, embed_dim)
    if light and (channels % kernels or (attentive and embed_dim % 2)):
        raise UserError(
            f"{where}: {layer.operator} has {kernels} kernels, which do not divide its part of {embed_dim} channels; "
            f"choose a multiple of {kernels * (2 if attentive else 1)} as embedding width"
        )
