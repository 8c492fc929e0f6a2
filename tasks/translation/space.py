"""The space of hybrid transformers for translation (ShiftAddNAS, ICML 2022; it extends that of HAT, ACL 2020).

A network has an encoder and a decoder of one width each. Every layer chooses the operator that mixes its tokens
(attention, a lightweight depthwise operator, or both side by side), its heads and its feed-forward network; decoder
layers also how they attend to the encoder, and the decoder its depth.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast, get_args

import numpy as np

from shiftaddnas.errors import UserError
from shiftaddnas.hardware.layer import Layer
from shiftaddnas.spaces import Arch, Choice, Decision, Space, Term
from tasks.translation.arch_yaml import read_arch_yaml
from tasks.translation.choices import DecoderChoices, EncoderChoices, check_choices
from tasks.translation.config import (
    FULL_PRECISION,
    DecoderLayerConfig,
    EncoderLayerConfig,
    FeedForward,
    Operator,
    SuperShape,
    TransformerConfig,
)
from tasks.translation.lowering import Lowering, network_layers
from tasks.translation.terms import (
    CrossTerm,
    FeedForwardTerm,
    Side,
    TranslationTerm,
    TranslationWorkload,
    VocabularyTerm,
    operator_term,
)

ABBREVIATIONS: dict[str, str] = {
    "lightweight_conv": "LC",
    "lightweight_add": "LA",
    "lightweight_shiftadd": "LS",
    "self_attention": "SA",
    "self_attention+lightweight_conv": "SA+LC",
    "self_attention+lightweight_add": "SA+LA",
    "self_attention+lightweight_shiftadd": "SA+LS",
}
MULTIPLICATIONS = ("self_attention", "lightweight_conv", "self_attention+lightweight_conv")
CHEAP = (
    "lightweight_shiftadd",
    "lightweight_add",
    "self_attention+lightweight_shiftadd",
    "self_attention+lightweight_add",
)
OPTIONS = {
    "embed_dim": "embed_dims",
    "layers": "num_layers",
    "heads": "heads",
    "operator": "operators",
    "cross_span": "cross_spans",
    "cross_heads": "cross_heads",
    "ffn_dim": "ffn_dims",
}
"""Of each decision of a side, where its choices have the options."""
# The decisions of a layer in their order; the second of a pair adds a term that depends on both.
FIELDS: dict[Side, tuple[str, ...]] = {
    "encoder": ("heads", "operator", "ffn", "ffn_dim"),
    "decoder": ("heads", "operator", "cross_span", "cross_heads", "ffn", "ffn_dim"),
}
REMEMBERED = ("heads", "cross_span", "ffn")


class Position(NamedTuple):
    """Where the walk stands: the next decision, and what those behind it depend on.

    `remembered` is the first decision of a pair. The encoder's layers leave nothing behind but its width.
    """

    side: Side
    field: str
    num_bits: int = 0
    encoder_embed_dim: int = 0
    decoder_embed_dim: int = 0
    num_layers: int = 0
    layer: int = 0
    remembered: Choice = 0


class TranslationSpace(Space[Position, TranslationWorkload]):
    """Hybrid transformers that are slices of one super-transformer.

    Args:
        name: how tables and messages call the space.
        shape: of the super-transformer.
        encoder, decoder: the options of their widths, depths and layers.
        num_bits: options of the bits of weights and activations; 32 is floating point.
        lowering: how networks are priced (see lowering.py): "decoding" translates a sentence with beam search,
            "forward" is one teacher-forced pass, "released" what the released simulator of ShiftAddNAS priced.

    Raises:
        UserError: the values contradict each other.
    """

    law = "decisions"  # were all archs equally likely, nearly every one would have the deepest decoder

    def __init__(
        self,
        name: str,
        shape: SuperShape,
        encoder: EncoderChoices,
        decoder: DecoderChoices,
        *,
        num_bits: Sequence[int] = (FULL_PRECISION,),
        lowering: Lowering = "decoding",
    ) -> None:
        super().__init__()
        self.name = name
        self.shape = shape
        self.encoder = encoder
        self.decoder = decoder
        self.num_bits = tuple(num_bits)
        self.lowering: Lowering = lowering
        if lowering not in get_args(Lowering):
            raise UserError(f"space.lowering={lowering} is unknown; allowed: {', '.join(get_args(Lowering))}")
        different = set(self.num_bits)
        if not different or len(different) < len(num_bits) or not different <= {*range(2, 17), FULL_PRECISION}:
            raise UserError(
                f"space.num_bits={list(num_bits)}; give different numbers of 2 to 16, or {FULL_PRECISION} for "
                "floating point"
            )
        check_choices(shape, encoder, decoder)

    # The decision graph

    def start(self) -> Position:
        return Position("encoder", "num_bits")

    def decision(self, state: Position) -> Decision | None:
        choices = self.encoder if state.side == "encoder" else self.decoder
        match state.field:
            case "end":
                return None
            case "num_bits":
                return Decision("num_bits", self.num_bits)
            case "ffn":
                return Decision(f"{state.side}_{state.layer}_ffn", choices.ffns(state.layer))
            case "embed_dim" | "layers" as field:
                return Decision(f"{state.side}_{field}", getattr(choices, OPTIONS[field]))
            case field:
                return Decision(f"{state.side}_{state.layer}_{field}", getattr(choices, OPTIONS[field]))

    def advance(self, state: Position, choice: Choice) -> Position:
        match state.field:
            case "num_bits":
                return state._replace(field="embed_dim", num_bits=cast(int, choice))
            case "embed_dim":
                width = {f"{state.side}_embed_dim": choice}
                return state._replace(field="layers", **cast(Any, width))
            case "layers":
                return state._replace(field="heads", num_layers=cast(int, choice))
        fields = FIELDS[state.side]
        if state.field != fields[-1]:
            remembered = choice if state.field in REMEMBERED else 0
            return state._replace(field=fields[fields.index(state.field) + 1], remembered=remembered)
        if state.layer + 1 < state.num_layers:
            return state._replace(field="heads", layer=state.layer + 1, remembered=0)
        if state.side == "encoder":
            return Position("decoder", "embed_dim", state.num_bits, state.encoder_embed_dim)
        return Position("decoder", "end")

    def decision_terms(self, state: Position, choice: Choice) -> tuple[TranslationTerm, ...]:
        width = state.encoder_embed_dim if state.side == "encoder" else state.decoder_embed_dim
        chosen, before = cast(Any, choice), cast(Any, state.remembered)
        match state.field:
            case "embed_dim" if state.side == "decoder":
                return (VocabularyTerm(state.encoder_embed_dim, chosen),)
            case "operator":
                return (operator_term(self.shape, state.side, state.layer, chosen, width, before, state.num_bits),)
            case "cross_heads":
                return (CrossTerm(width, state.encoder_embed_dim, chosen, before),)
            case "ffn_dim":
                return (FeedForwardTerm(width, chosen, before, state.num_bits, state.side),)
        return ()

    def layers(self, term: Term, workload: TranslationWorkload) -> tuple[Layer, ...]:
        return network_layers(cast(TranslationTerm, term), self.shape, workload, self.lowering)

    def crossover(self, first: Arch, second: Arch, rng: np.random.Generator) -> Arch:
        """A child that takes each decision from one of its parents, of a layer that only one has from that one."""
        parents = first.as_dict(), second.as_dict()
        decisions, state = [], self.start()
        while (decision := self.decision(state)) is not None:
            number = rng.integers(2)
            choice = parents[number].get(decision.name, parents[1 - number].get(decision.name))
            assert choice is not None, f"neither parent has {decision.name}, though one has the child's depth"
            decisions.append((decision.name, choice))
            state = self.advance(state, choice)
        return Arch(tuple(decisions))

    def restricted(self, operators: Collection[str]) -> "TranslationSpace":
        def kept(options: tuple[Operator, ...]) -> tuple[Operator, ...]:
            return tuple(name for name in options if name in operators) or options

        return TranslationSpace(
            self.name,
            self.shape,
            replace(self.encoder, operators=kept(self.encoder.operators)),
            replace(self.decoder, operators=kept(self.decoder.operators)),
            num_bits=self.num_bits,
            lowering=self.lowering,
        )

    def all_multiplication(self, arch: Arch) -> Arch:
        """The transformer of the same shape: attention everywhere."""
        return self.with_operators(arch, MULTIPLICATIONS, "linear")

    def all_cheap(self, arch: Arch) -> Arch:
        """The same shape with shifts and adds in every layer, beside attention where the space has them only there."""
        return self.with_operators(arch, CHEAP, "shift")

    def with_operators(self, arch: Arch, operators: Sequence[str], ffn: FeedForward) -> Arch:
        """The same shape with the first of these operators that a layer allows, and such feed-forward networks.

        What a layer does not allow stays as it is.
        """
        choices = arch.as_dict()
        for _, decision, _ in self.walk(arch):
            wanted = operators if decision.name.endswith("_operator") else ()
            wanted = (ffn,) if decision.name.endswith("_ffn") else wanted
            choices[decision.name] = next(
                (option for option in wanted if option in decision.options), choices[decision.name]
            )
        return self.arch(choices)

    def describe(self, arch: Arch) -> str:
        """Widths and operators of encoder and decoder: SA attention; LC, LA, LS lightweight conv, add, shiftadd."""
        config = self.config(arch)
        sides = (config.encoder_embed_dim, config.encoder), (config.decoder_embed_dim, config.decoder)
        return " | ".join(
            f"{width}: {' '.join(ABBREVIATIONS[one.operator] for one in layers)}" for width, layers in sides
        )

    # What models, counts and files read

    def config(self, arch: Arch) -> TransformerConfig:
        """The same choice as typed data."""
        choices: Mapping[str, Any] = arch.as_dict()

        def layers(side: Side) -> Iterator[dict[str, Any]]:
            for layer in range(choices[f"{side}_layers"]):
                yield {field: choices[f"{side}_{layer}_{field}"] for field in FIELDS[side]}

        return TransformerConfig(
            choices["encoder_embed_dim"],
            choices["decoder_embed_dim"],
            tuple(EncoderLayerConfig(**layer) for layer in layers("encoder")),
            tuple(DecoderLayerConfig(**layer) for layer in layers("decoder")),
            choices["num_bits"],
        )

    def arch_of(self, config: TransformerConfig) -> Arch:
        """The arch of a network.

        Raises:
            UserError: it is not of this space.
        """
        choices: dict[str, Choice] = {
            "num_bits": config.num_bits,
            "encoder_embed_dim": config.encoder_embed_dim,
            "encoder_layers": len(config.encoder),
            "decoder_embed_dim": config.decoder_embed_dim,
            "decoder_layers": len(config.decoder),
        }
        sides: tuple[tuple[Side, Sequence[object]], ...] = ("encoder", config.encoder), ("decoder", config.decoder)
        for side, layers in sides:
            for number, layer in enumerate(layers):
                choices |= {f"{side}_{number}_{field}": getattr(layer, field) for field in FIELDS[side]}
        return self.arch(choices)

    def read_notation(self, text: str) -> Arch | None:
        """The arch of a file of the released code. What it leaves open is what the space has, if that is one option."""
        bits = self.num_bits[0] if len(self.num_bits) == 1 else FULL_PRECISION

        def ffns(choices: EncoderChoices | DecoderChoices) -> tuple[FeedForward, ...]:
            options = [choices.ffns(layer) for layer in range(max(choices.num_layers))]
            return tuple(one[0] for one in options)

        config = read_arch_yaml(text, num_bits=bits, encoder_ffns=ffns(self.encoder), decoder_ffns=ffns(self.decoder))
        return None if config is None else self.arch_of(config)
