"""The layers that the released simulator of ShiftAddNAS (NLP/*/sim) prices a translation network as.

One teacher-forced pass without the output projection. The linear layers beside a shiftadd operator count as shifts, its
shift layer itself is missing, and a depthwise operator has as many channels as its layer has heads, in a batch of the
channels of a head. Parameters are those of the released counting (counts.py).
"""

from collections.abc import Iterator

from shiftaddnas.hardware.layer import Arithmetic, Layer
from tasks.translation.config import SuperShape, lightweight_part
from tasks.translation.terms import (
    CrossTerm,
    FeedForwardTerm,
    OperatorTerm,
    TranslationTerm,
    TranslationWorkload,
    VocabularyTerm,
    parts_of,
)


def released_layers(term: TranslationTerm, shape: SuperShape, workload: TranslationWorkload) -> Iterator[Layer]:
    """The layers of a term, in the order of the simulator's records."""
    match term:
        case OperatorTerm():
            yield from _operator(term, shape, workload)
        case CrossTerm():
            keys = workload.source_length * term.num_memories
            width, queries, norm = term.embed_dim, workload.target_length, 2 * term.embed_dim
            yield from _attention(
                "cross", width, term.encoder_embed_dim, shape.qkv_dim, queries, keys, term.heads, norm=norm
            )
        case FeedForwardTerm():
            tokens = workload.source_length if term.side == "encoder" else workload.target_length
            arithmetic: Arithmetic = "shift" if term.ffn == "shift" else "mult"
            yield _linear("fc1", "ffn", term.embed_dim, term.ffn_dim, tokens, arithmetic)
            yield _linear("fc2", "ffn", term.ffn_dim, term.embed_dim, tokens, arithmetic, extra=2 * term.embed_dim)
        case VocabularyTerm():
            return


def _operator(term: OperatorTerm, shape: SuperShape, workload: TranslationWorkload) -> Iterator[Layer]:
    tokens = workload.source_length if term.side == "encoder" else workload.target_length
    parts, lightweight = parts_of(term, shape), lightweight_part(term.operator)
    if parts.qkv_dim is not None:
        yield from _attention(
            "self", parts.width, parts.width, parts.qkv_dim, tokens, tokens, term.heads, norm=2 * term.embed_dim
        )
    if lightweight is not None:
        assert parts.kernels is not None
        width, size = parts.width, term.kernel_size
        arithmetic: Arithmetic = "shift" if lightweight == "shiftadd" else "mult"
        yield _linear("linear1", "lightweight_linear", width, width, tokens, arithmetic)
        missing = width * width + width if lightweight == "shiftadd" else 0
        yield Layer(
            "depthwise",
            "lightweight_depthwise",
            "conv2d",
            "mult" if lightweight == "conv" else "add",
            N=width // term.heads,
            C=term.heads,
            M=term.heads,
            H=tokens,
            E=tokens,
            R=size,
            padding=size // 2,
            groups=term.heads,
            num_params=parts.kernels * size + missing,
        )
        yield _linear("linear2", "lightweight_linear", width, width, tokens, arithmetic)


def _attention(
    name: str,
    width: int,
    memory_width: int,
    qkv_dim: int,
    queries: int,
    keys: int,
    heads: int,
    *,
    norm: int,
) -> Iterator[Layer]:
    yield _linear(f"{name}.q", "attention", width, qkv_dim, queries)
    yield _linear(f"{name}.k", "attention", memory_width, qkv_dim, keys)
    yield _linear(f"{name}.v", "attention", memory_width, qkv_dim, keys)
    yield _product(f"{name}.scores", queries, qkv_dim // heads, keys, heads)
    yield _product(f"{name}.mix", queries, keys, qkv_dim // heads, heads)
    yield _linear(f"{name}.out", "attention", qkv_dim, width, queries, extra=norm)


def _linear(
    name: str, role: str, C: int, M: int, tokens: int, arithmetic: Arithmetic = "mult", *, extra: int = 0
) -> Layer:
    return Layer(name, role, "linear", arithmetic, N=tokens, C=C, M=M, num_params=C * M + M + extra)


def _product(name: str, N: int, C: int, M: int, heads: int) -> Layer:
    return Layer(name, "attention", "matmul", "mult", N=N, C=C, M=M, second_operand="activation", repeat=heads)
