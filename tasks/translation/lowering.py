"""From terms of a translation network to its priced layers: of decoding with beam search, or of one pass.

A decoding network computes its encoder once. Its decoder takes a step for each token of the target, of one token for
each hypothesis, and keeps keys and values: those of the source are made once, of itself one a step.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from shiftaddnas.hardware.layer import Arithmetic, Layer
from tasks.translation.config import FULL_PRECISION, SuperShape, lightweight_part
from tasks.translation.released_lowering import released_layers
from tasks.translation.terms import (
    CrossTerm,
    FeedForwardTerm,
    OperatorTerm,
    TranslationTerm,
    TranslationWorkload,
    VocabularyTerm,
    parts_of,
)

Lowering = Literal["decoding", "forward", "released"]


class Run(NamedTuple):
    """In how many steps a layer is computed, and over how many tokens in each."""

    tokens: int
    steps: int = 1


def network_layers(
    term: TranslationTerm, shape: SuperShape, workload: TranslationWorkload, lowering: Lowering
) -> tuple[Layer, ...]:
    """The priced computations of a term, in order of execution.

    Lookups, softmax, normalisations and sums are not priced. `num_params` is all that is trained: of shift layers
    exponents and signs, of the vocabulary the wider of the two slices of its table.
    """
    if lowering == "released":
        return tuple(released_layers(term, shape, workload))
    return tuple(_layers(term, shape, workload, decoding=lowering == "decoding"))


def _layers(
    term: TranslationTerm, shape: SuperShape, workload: TranslationWorkload, *, decoding: bool
) -> Iterator[Layer]:
    source = Run(workload.source_length)
    target = Run(workload.beam, workload.target_length) if decoding else Run(workload.target_length)
    match term:
        case OperatorTerm():
            yield from _operator(term, shape, source if term.side == "encoder" else target, decoding)
        case CrossTerm():
            memory = Run(workload.source_length * term.num_memories)
            head_dim = shape.qkv_dim // term.heads
            yield _linear("cross.q", "cross_attention", term.embed_dim, shape.qkv_dim, target)
            yield _linear("cross.kv", "cross_attention", term.encoder_embed_dim, 2 * shape.qkv_dim, memory)
            yield _product("cross.scores", head_dim, memory.tokens, term.heads, target)
            yield _product("cross.mix", memory.tokens, head_dim, term.heads, target)
            yield _linear(
                "cross.out", "cross_attention", shape.qkv_dim, term.embed_dim, target, norm=2 * term.embed_dim
            )
        case FeedForwardTerm():
            run = source if term.side == "encoder" else target
            arithmetic: Arithmetic = "shift" if term.ffn == "shift" else "mult"
            bits = FULL_PRECISION if term.ffn == "shift" else term.num_bits
            yield _linear("fc1", "ffn", term.embed_dim, term.ffn_dim, run, arithmetic, bits)
            yield _linear("fc2", "ffn", term.ffn_dim, term.embed_dim, run, arithmetic, bits, norm=2 * term.embed_dim)
        case VocabularyTerm():
            table = workload.vocab_size * max(term.encoder_embed_dim, term.decoder_embed_dim)
            yield Layer(
                "output",
                "output",
                "linear",
                "mult",
                N=target.tokens,
                C=term.decoder_embed_dim,
                M=workload.vocab_size,
                steps=target.steps,
                num_params=table,
            )


def _operator(term: OperatorTerm, shape: SuperShape, run: Run, decoding: bool) -> Iterator[Layer]:
    parts, lightweight, bits = parts_of(term, shape), lightweight_part(term.operator), term.num_bits
    norm = 2 * term.embed_dim
    stepwise = decoding and term.side == "decoder"
    if parts.qkv_dim is not None:
        yield _linear("self.qkv", "attention", parts.width, 3 * parts.qkv_dim, run, bits=bits)
        head_dim = parts.qkv_dim // term.heads
        keys, queries, repeat = run.tokens, run, term.heads
        if stepwise:
            # Each hypothesis has keys of its own, t of them in step t. Steps t and T + 1 - t together see T + 1, so
            # half as many steps with T + 1 keys, or T with half of these, do what the T steps do.
            keys = run.steps + 1 if run.steps % 2 == 0 else (run.steps + 1) // 2
            queries = Run(1, run.steps // 2 if run.steps % 2 == 0 else run.steps)
            repeat = term.heads * run.tokens
        yield _product("self.scores", head_dim, keys, repeat, queries, bits)
        yield _product("self.mix", keys, head_dim, repeat, queries, bits)
        own_norm = norm if lightweight is None else 0
        yield _linear("self.out", "attention", parts.qkv_dim, parts.width, run, bits=bits, norm=own_norm)
    if lightweight is not None:
        assert parts.kernels is not None
        yield _linear("linear1", "lightweight_linear", parts.width, parts.width, run, bits=bits)
        if lightweight == "shiftadd":
            yield _linear("shift", "lightweight_shift", parts.width, parts.width, run, "shift")
        # Channels that share a kernel lie side by side, as columns of one map.
        size, columns = term.kernel_size, parts.width // parts.kernels
        yield Layer(
            "depthwise",
            "lightweight_depthwise",
            "conv2d",
            "mult" if lightweight == "conv" else "add",
            N=run.tokens if stepwise else 1,
            C=parts.kernels,
            M=parts.kernels,
            H=size if stepwise else run.tokens,
            W=columns,
            E=1 if stepwise else run.tokens,
            F=columns,
            R=size,
            padding=0 if stepwise else size // 2,
            groups=parts.kernels,
            weight_bits=bits,
            act_bits=bits,
            steps=run.steps,
            num_params=parts.kernels * size,
        )
        yield _linear("linear2", "lightweight_linear", parts.width, parts.width, run, bits=bits, norm=norm)


def _linear(
    name: str,
    role: str,
    C: int,
    M: int,
    run: Run,
    arithmetic: Arithmetic = "mult",
    bits: int = FULL_PRECISION,
    *,
    norm: int = 0,
) -> Layer:
    """A linear layer with bias, and the parameters of a normalisation behind it."""
    tensors = 2 if arithmetic == "shift" else 1
    return Layer(
        name,
        role,
        "linear",
        arithmetic,
        N=run.tokens,
        C=C,
        M=M,
        weight_bits=bits,
        act_bits=bits,
        steps=run.steps,
        num_params=tensors * C * M + M + norm,
    )


def _product(name: str, C: int, M: int, repeat: int, run: Run, bits: int = FULL_PRECISION) -> Layer:
    role = "cross_attention" if name.startswith("cross") else "attention"
    return Layer(
        name,
        role,
        "matmul",
        "mult",
        N=run.tokens,
        C=C,
        M=M,
        weight_bits=bits,
        act_bits=bits,
        second_operand="activation",
        repeat=repeat,
        steps=run.steps,
    )
