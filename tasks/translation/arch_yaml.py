"""The files in which the released code of ShiftAddNAS (and HAT) keeps a network, read and written.

A file is a flat mapping of command line options. It may hold others, of training; they are left alone. Block types may
be names or lists of one name, and lists of the decoder may be longer than its depth. Bits and shift layers, which the
released code takes from its command line, have the names of those options.
"""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import yaml

from shiftaddnas.errors import UserError
from tasks.translation.config import (
    FULL_PRECISION,
    CrossSpan,
    DecoderLayerConfig,
    EncoderLayerConfig,
    FeedForward,
    Operator,
    TransformerConfig,
)

END = "subtransformer"
FFN_TYPES: dict[str, FeedForward] = {"mlp": "linear", "shift": "shift"}


def read_arch_yaml(
    text: str,
    *,
    num_bits: int = FULL_PRECISION,
    encoder_ffns: Sequence[FeedForward] | None = None,
    decoder_ffns: Sequence[FeedForward] | None = None,
) -> TransformerConfig | None:
    """The network of a file; None where the text is no such file.

    Args:
        num_bits: where the file says nothing of them.
        encoder_ffns, decoder_ffns: of each layer, where the file says nothing of them; None for no shift layers.

    Raises:
        UserError: an option is missing, too short or not of its kind.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return None
    if not isinstance(content, dict) or f"encoder-embed-dim-{END}" not in content:
        return None
    options = {str(key): value for key, value in content.items()}

    def side(name: str, ffns: Sequence[FeedForward] | None) -> tuple[int, list[dict[str, Any]]]:
        depth = _integer(options, f"{name}-layer-num-{END}")
        columns: dict[str, Sequence[object]] = {
            "operator": _operators(options, f"{name}-block-types-all-{END}", depth),
            "heads": _integers(options, f"{name}-self-attention-heads-all-{END}", depth),
            "ffn_dim": _integers(options, f"{name}-ffn-embed-dim-all-{END}", depth),
            "ffn": _ffns(options, f"{name}_ffn_types", depth, ffns),
        }
        if name == "decoder":
            columns["cross_heads"] = _integers(options, f"decoder-ende-attention-heads-all-{END}", depth)
            columns["cross_span"] = _spans(options, f"decoder-arbitrary-ende-attn-all-{END}", depth)
        width = _integer(options, f"{name}-embed-dim-{END}")
        return width, [{field: column[layer] for field, column in columns.items()} for layer in range(depth)]

    encoder_width, encoder = side("encoder", encoder_ffns)
    decoder_width, decoder = side("decoder", decoder_ffns)
    bits = _integer(options, "num_bits") if "num_bits" in options else num_bits
    return TransformerConfig(
        encoder_width,
        decoder_width,
        tuple(EncoderLayerConfig(**layer) for layer in encoder),
        tuple(DecoderLayerConfig(**layer) for layer in decoder),
        FULL_PRECISION if bits == -1 else bits,
    )


def write_arch_yaml(config: TransformerConfig) -> str:
    """The text of the file of a network. Bits and shift layers are named only where there are any."""
    options: dict[str, Any] = {
        f"encoder-embed-dim-{END}": config.encoder_embed_dim,
        f"decoder-embed-dim-{END}": config.decoder_embed_dim,
    }
    sides: dict[str, Sequence[EncoderLayerConfig | DecoderLayerConfig]]
    sides = {"encoder": config.encoder, "decoder": config.decoder}
    for name, layers in sides.items():
        options[f"{name}-layer-num-{END}"] = len(layers)
        options[f"{name}-ffn-embed-dim-all-{END}"] = [layer.ffn_dim for layer in layers]
        options[f"{name}-self-attention-heads-all-{END}"] = [layer.heads for layer in layers]
        options[f"{name}-block-types-all-{END}"] = [layer.operator for layer in layers]
    options[f"decoder-ende-attention-heads-all-{END}"] = [layer.cross_heads for layer in config.decoder]
    options[f"decoder-arbitrary-ende-attn-all-{END}"] = [layer.cross_span for layer in config.decoder]
    types = {kind: name for name, kind in FFN_TYPES.items()}
    if any(layer.ffn == "shift" for layers in sides.values() for layer in layers):
        options["shift_ffn"] = True
        options |= {f"{name}_ffn_types": [types[layer.ffn] for layer in layers] for name, layers in sides.items()}
    if config.num_bits != FULL_PRECISION:
        options["num_bits"] = config.num_bits
    return yaml.safe_dump(options, sort_keys=False, default_flow_style=None, width=1_000)


def _value(options: Mapping[str, Any], key: str) -> Any:
    if key not in options:
        raise UserError(f"the arch file lacks {key}")
    return options[key]


def _integer(options: Mapping[str, Any], key: str) -> int:
    value = _value(options, key)
    if type(value) is not int:
        raise UserError(f"{key}: {value!r} is no whole number")
    return value


def _list(options: Mapping[str, Any], key: str, depth: int) -> list[Any]:
    """The entries of the layers that there are."""
    value = _value(options, key)
    if not isinstance(value, list) or len(value) < depth:
        raise UserError(f"{key}: {value!r} is no list of an entry for each of {depth} layers")
    return value[:depth]


def _integers(options: Mapping[str, Any], key: str, depth: int) -> list[int]:
    values = _list(options, key, depth)
    if wrong := [value for value in values if type(value) is not int]:
        raise UserError(f"{key} holds {wrong[0]!r}, which is no whole number")
    return values


def _spans(options: Mapping[str, Any], key: str, depth: int) -> list[CrossSpan]:
    return [_one_of(get_args(CrossSpan), value, key) for value in _integers(options, key, depth)]


def _operators(options: Mapping[str, Any], key: str, depth: int) -> list[Operator]:
    entries = [
        entry[0] if isinstance(entry, list) and len(entry) == 1 else entry for entry in _list(options, key, depth)
    ]
    return [_one_of(get_args(Operator), entry, key) for entry in entries]


def _ffns(
    options: Mapping[str, Any], key: str, depth: int, default: Sequence[FeedForward] | None
) -> Sequence[FeedForward]:
    # The released code reads the types only where shift_ffn is set, which then has these as its default.
    if options.get("shift_ffn") is True:
        names = _list(options, key, depth) if key in options else ["mlp", "shift", "shift", "shift", "shift", "mlp"]
        return [FFN_TYPES[_one_of(tuple(FFN_TYPES), name, key)] for name in names[:depth]]
    if default is None:
        return ["linear"] * depth
    if len(default) < depth:
        raise UserError(f"the arch file has {depth} layers where the space has at most {len(default)}")
    return default


def _one_of(allowed: tuple[Any, ...], value: Any, key: str) -> Any:
    if value not in allowed:
        raise UserError(f"{key} holds {value!r}; allowed are {', '.join(map(str, allowed))}")
    return value
