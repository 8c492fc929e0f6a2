"""What the layers of encoder and decoder may be, as settings of a translation space, and what does not go together."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from shiftaddnas.errors import UserError
from tasks.translation.config import (
    BRANCH_LIGHTWEIGHT_HEADS,
    CrossSpan,
    FeedForward,
    Operator,
    SuperShape,
    has_attention,
    lightweight_part,
)

FeedForwardChoice = Literal["linear", "shift", "any"]


@dataclass(frozen=True)
class EncoderChoices:
    """Options of the encoder; those of a layer are the same for every layer, in the order of the released code.

    Attributes:
        num_layers: of the whole encoder.
        heads: of self-attention, in every operator that has it.
        ffn: of each layer, whether its feed-forward network multiplies ("linear"), shifts, or either ("any"); empty
            for multiplications everywhere.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    embed_dims: tuple[int, ...]
    num_layers: tuple[int, ...]
    operators: tuple[Operator, ...]
    heads: tuple[int, ...]
    ffn_dims: tuple[int, ...]
    ffn: tuple[FeedForwardChoice, ...] = ()

    def ffns(self, layer: int) -> tuple[FeedForward, ...]:
        return ffn_options(self.ffn, layer)


@dataclass(frozen=True)
class DecoderChoices:
    """Options of the decoder, as those of the encoder.

    Attributes:
        cross_heads: of the attention to the encoder.
        cross_spans: what that attention sees: -1 the last encoder layer's output, 1 the last two, 2 the last three.
    """

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    embed_dims: tuple[int, ...]
    num_layers: tuple[int, ...]
    operators: tuple[Operator, ...]
    heads: tuple[int, ...]
    cross_heads: tuple[int, ...]
    cross_spans: tuple[CrossSpan, ...]
    ffn_dims: tuple[int, ...]
    ffn: tuple[FeedForwardChoice, ...] = ()

    def ffns(self, layer: int) -> tuple[FeedForward, ...]:
        return ffn_options(self.ffn, layer)


def ffn_options(ffn: tuple[FeedForwardChoice, ...], layer: int) -> tuple[FeedForward, ...]:
    """The feed-forward networks that a layer may have."""
    match ffn[layer] if ffn else "linear":
        case "any":
            return "linear", "shift"
        case "shift":
            return ("shift",)
        case _:
            return ("linear",)


def check_choices(shape: SuperShape, encoder: EncoderChoices, decoder: DecoderChoices) -> None:
    """Raise a UserError unless every network that may be chosen is a slice of the super-transformer."""
    if len(shape.kernel_sizes) < max(shape.encoder_layers, shape.decoder_layers):
        raise UserError(
            f"space.shape.kernel_sizes={list(shape.kernel_sizes)}; give a size for each of the "
            f"{max(shape.encoder_layers, shape.decoder_layers)} layers"
        )
    if even := [size for size in shape.kernel_sizes if size < 1 or size % 2 == 0]:
        raise UserError(f"space.shape.kernel_sizes holds {even[0]}; kernels have an odd size, of at least 1")
    _check_side("encoder", encoder, shape.encoder_embed_dim, shape.encoder_ffn_dim, shape.encoder_layers)
    _check_side("decoder", decoder, shape.decoder_embed_dim, shape.decoder_ffn_dim, shape.decoder_layers)
    _check_widths("encoder", encoder, shape, shape.encoder_embed_dim, shape.encoder_heads)
    _check_widths("decoder", decoder, shape, shape.decoder_embed_dim, shape.decoder_heads)
    for name in ("cross_heads", "cross_spans"):
        _check_options(f"decoder.{name}", getattr(decoder, name))
    _check_divides("decoder.cross_heads", decoder.cross_heads, "qkv_dim", shape.qkv_dim)
    if max(decoder.cross_spans) >= min(encoder.num_layers):
        raise UserError(
            f"space.decoder.cross_spans={list(decoder.cross_spans)}: {max(decoder.cross_spans)} sees "
            f"{max(decoder.cross_spans) + 1} encoder layers, of which there may be {min(encoder.num_layers)}; "
            "leave it out, or raise space.encoder.num_layers"
        )


def _check_side(
    side: str, choices: EncoderChoices | DecoderChoices, embed_dim: int, ffn_dim: int, num_layers: int
) -> None:
    for name in ("embed_dims", "num_layers", "operators", "heads", "ffn_dims"):
        _check_options(f"{side}.{name}", getattr(choices, name))
    if unknown := [name for name in choices.operators if name not in get_args(Operator)]:
        raise UserError(
            f"space.{side}.operators holds {unknown[0]}; allowed are {', '.join(map(str, get_args(Operator)))}"
        )
    for setting, values, most in (
        ("embed_dims", choices.embed_dims, embed_dim),
        ("ffn_dims", choices.ffn_dims, ffn_dim),
        ("num_layers", choices.num_layers, num_layers),
    ):
        if min(values) < 1 or max(values) > most:
            raise UserError(f"space.{side}.{setting}={list(values)}; space.shape allows 1 to {most}")
    if choices.ffn and len(choices.ffn) != num_layers:
        raise UserError(f"space.{side}.ffn has {len(choices.ffn)} entries; give one for each of {num_layers} layers")


def _check_widths(
    side: str, choices: EncoderChoices | DecoderChoices, shape: SuperShape, super_dim: int, super_heads: int
) -> None:
    lightweight = [name for name in choices.operators if lightweight_part(name) is not None]
    if "self_attention" in choices.operators:
        _check_divides(f"{side}.heads", choices.heads, "qkv_dim", shape.qkv_dim)
    for embed_dim in choices.embed_dims if lightweight else ():
        for name in lightweight:
            kernels = 2 * BRANCH_LIGHTWEIGHT_HEADS if has_attention(name) else super_heads
            if embed_dim % kernels:
                raise UserError(
                    f"space.{side}.embed_dims holds {embed_dim}, which {name} cannot share out among its kernels; give "
                    f"a multiple of {kernels}"
                )
    if any(map(has_attention, lightweight)):
        _check_divides(f"{side}.heads", choices.heads, f"half of {side}_embed_dim", super_dim // 2)


def _check_divides(setting: str, heads: tuple[int, ...], what: str, width: int) -> None:
    for number in heads:
        if number < 1 or width % number:
            raise UserError(f"space.{setting} holds {number}, which does not divide {width} ({what} of space.shape)")


def _check_options(setting: str, options: tuple[object, ...]) -> None:
    if not options or len(set(options)) < len(options):
        raise UserError(f"space.{setting}={list(options)}; give at least one option, each once")
