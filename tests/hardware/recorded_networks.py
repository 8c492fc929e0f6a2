"""The networks whose energy and latency the released ShiftAddNAS simulator recorded, as lists of layers.

Layers come in the order in which the released code lists them: `image_network` in the order of the forward pass
(retraining_hybrid/cal_energy.py), `translation_layers` in that of NLP/en-de/sim/ShiftAddNAS.py.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from shiftaddnas.hardware import Arithmetic, Layer

ARITHMETIC: dict[str, Arithmetic] = {"att": "mult", "conv": "mult", "add": "add", "shift": "shift"}
HEAD_DIM = 64
SE_RATIO = 16

MIX_V3 = ("conv conv", "conv conv conv conv", "shift conv att add add", "att att conv att att")
MIX_V4 = ("conv conv", "conv shift conv conv", "shift conv att shift shift", "att att conv att att")


def image_network(stages: Sequence[str], image_size: int, *, last_stride: int) -> list[Layer]:
    """A searched image network with its two heads, for one image.

    Args:
        stages: the operators of each stage's blocks.
        last_stride: of the last stage: 2 in the T0 networks, 1 in the T1 networks.
    """
    size = image_size // 2
    layers = [_conv("stem", "stem", "mult", 3, 64, image_size, kernel=7, stride=2)]
    size //= 2  # max-pool
    channels = 64
    for stage, operators in enumerate(stages):
        width = 64 * 2**stage
        stage_stride = (1, 2, 2, last_stride)[stage]
        for block, operator in enumerate(operators.split()):
            stride = stage_stride if block == 0 else 1
            name = f"stage{stage + 1}.{block}"
            layers += _block(name, operator, channels, width, size, stride)
            size, channels = size // stride, 4 * width
    return [*layers, *(Layer(f"head{i}", "head", "linear", "mult", N=1, C=channels, M=1000) for i in (1, 2))]


def _block(name: str, operator: str, channels: int, width: int, size: int, stride: int) -> Iterator[Layer]:
    arithmetic, out, end = ARITHMETIC[operator], 4 * width, size // stride
    if channels != out:  # behind an average-pool where the stride is 2
        yield _conv(f"{name}.shortcut", "shortcut", arithmetic, channels, out, end)
    yield _conv(f"{name}.conv1", "main", arithmetic, channels, width, size)
    yield replace(_conv(f"{name}.peg", "peg", arithmetic, width, width, size, kernel=3, stride=stride), groups=width)
    if operator == "att":
        heads, tokens = width // HEAD_DIM, end * end
        yield _conv(f"{name}.qkv", "attention", "mult", width, 3 * width, end)
        yield _product(f"{name}.scores", tokens, HEAD_DIM, tokens, heads)
        yield _product(f"{name}.mix", HEAD_DIM, tokens, tokens, heads)
        yield _conv(f"{name}.conv3", "main", "mult", width, out, end)
        return
    yield _conv(f"{name}.conv2", "main", arithmetic, width, width, end, kernel=3)
    yield _conv(f"{name}.conv3", "main", arithmetic, width, out, end)
    yield _conv(f"{name}.se1", "se", "mult", out, out // SE_RATIO, 1)
    yield _conv(f"{name}.se2", "se", "mult", out // SE_RATIO, out, 1)


def _conv(
    name: str, role: str, arithmetic: Arithmetic, C: int, M: int, H: int, *, kernel: int = 1, stride: int = 1
) -> Layer:
    E = H // stride
    return Layer(
        name, role, "conv2d", arithmetic, 1, C, M, H, H, E, E, kernel, kernel, stride=stride, padding=kernel // 2
    )


def _product(name: str, N: int, C: int, M: int, heads: int) -> Layer:
    return Layer(name, "attention", "matmul", "mult", N, C, M, second_operand="activation", repeat=heads)


TOKENS = 30
QKV_WIDTH = 512
KERNELS = (3, 7, 15, 31, 31, 31)
LIGHTWEIGHT: dict[str, tuple[Arithmetic, Arithmetic]] = {
    "lc": ("mult", "mult"),
    "la": ("mult", "add"),
    "ls": ("shift", "add"),
}
"""What the linear layers and the depthwise layer of a lightweight branch compute with."""


@dataclass(frozen=True)
class TranslationNetwork:
    """A translation network: widths, and for each layer its operator ("sa": attention; others: beside it), heads ...

    `cross_heads` and `num_memories` (how many encoder layers' outputs cross-attention sees) are those of the decoder.
    """

    encoder_width: int
    decoder_width: int
    encoder_ops: str
    encoder_ffn: tuple[int, ...]
    encoder_heads: tuple[int, ...]
    decoder_ops: str
    decoder_ffn: tuple[int, ...]
    decoder_heads: tuple[int, ...]
    cross_heads: tuple[int, ...]
    num_memories: tuple[int, ...]


def encoder_layers(network: TranslationNetwork) -> list[Layer]:
    layers: list[Layer] = []
    settings = zip(network.encoder_ops.split(), network.encoder_ffn, network.encoder_heads, strict=True)
    for index, (op, ffn, heads) in enumerate(settings):
        layers += _self_attention(op, network.encoder_width, heads, KERNELS[index])
        layers += _ffn(network.encoder_width, ffn)
    return layers


def decoder_layers(network: TranslationNetwork) -> list[Layer]:
    layers: list[Layer] = []
    width = network.decoder_width
    settings = zip(
        network.decoder_ops.split(),
        network.decoder_ffn,
        network.decoder_heads,
        network.cross_heads,
        network.num_memories,
        strict=True,
    )
    for index, (op, ffn, heads, cross_heads, num_memories) in enumerate(settings):
        layers += _self_attention(op, width, heads, KERNELS[index])
        layers += _attention("cross", width, network.encoder_width, TOKENS * num_memories, cross_heads)
        layers += _ffn(width, ffn)
    return layers


def _self_attention(op: str, width: int, heads: int, kernel: int) -> Iterator[Layer]:
    if op == "sa":
        yield from _attention("self", width, width, TOKENS, heads)
        return
    half = width // 2
    yield from _attention("self", half, half, TOKENS, heads)
    linear, depthwise = LIGHTWEIGHT[op]
    yield _linear("linear1", "lightweight_linear", half, half, arithmetic=linear)
    # one kernel a head, for each of its channels
    yield Layer(
        "depthwise",
        "lightweight_depthwise",
        "conv2d",
        depthwise,
        N=half // heads,
        C=heads,
        M=heads,
        H=TOKENS,
        E=TOKENS,
        R=kernel,
        padding=kernel // 2,
        groups=heads,
    )
    yield _linear("linear2", "lightweight_linear", half, half, arithmetic=linear)


def _attention(name: str, width: int, memory_width: int, num_keys: int, heads: int) -> Iterator[Layer]:
    yield _linear(f"{name}.q", "attention", width, QKV_WIDTH)
    yield _linear(f"{name}.k", "attention", memory_width, QKV_WIDTH, tokens=num_keys)
    yield _linear(f"{name}.v", "attention", memory_width, QKV_WIDTH, tokens=num_keys)
    yield _product(f"{name}.scores", TOKENS, QKV_WIDTH // heads, num_keys, heads)
    yield _product(f"{name}.mix", TOKENS, num_keys, QKV_WIDTH // heads, heads)
    yield _linear(f"{name}.out", "attention", QKV_WIDTH, width)


def _ffn(width: int, hidden: int) -> Iterator[Layer]:
    yield _linear("fc1", "ffn", width, hidden)
    yield _linear("fc2", "ffn", hidden, width)


def _linear(name: str, role: str, C: int, M: int, *, tokens: int = TOKENS, arithmetic: Arithmetic = "mult") -> Layer:
    return Layer(name, role, "linear", arithmetic, N=tokens, C=C, M=M)


def _transformer(width: int, ffn: int, heads: int) -> TranslationNetwork:
    return TranslationNetwork(
        encoder_width=width,
        decoder_width=width,
        encoder_ops=" ".join(["sa"] * 6),
        encoder_ffn=(ffn,) * 6,
        encoder_heads=(heads,) * 6,
        decoder_ops=" ".join(["sa"] * 6),
        decoder_ffn=(ffn,) * 6,
        decoder_heads=(heads,) * 6,
        cross_heads=(heads,) * 6,
        num_memories=(1,) * 6,
    )


TRANSLATION_NETWORKS = {
    "100ms_Aug_14": TranslationNetwork(
        encoder_width=512,
        decoder_width=512,
        encoder_ops="la ls sa la ls sa",
        encoder_ffn=(1024, 1024, 1024, 4096, 3072, 4096),
        encoder_heads=(8, 8, 16, 8, 4, 16),
        decoder_ops="sa",
        decoder_ffn=(4096,),
        decoder_heads=(8,),
        cross_heads=(4,),
        num_memories=(3,),
    ),
    "150ms_Aug_14": TranslationNetwork(
        encoder_width=512,
        decoder_width=512,
        encoder_ops="lc sa lc lc sa sa",
        encoder_ffn=(2048, 1024, 3072, 1024, 1024, 4096),
        encoder_heads=(4, 16, 8, 16, 8, 4),
        decoder_ops="lc sa",
        decoder_ffn=(4096, 4096),
        decoder_heads=(4, 16),
        cross_heads=(4, 4),
        num_memories=(3, 3),
    ),
    "200ms_Aug_4": TranslationNetwork(
        encoder_width=512,
        decoder_width=512,
        encoder_ops="sa ls lc lc lc sa",
        encoder_ffn=(2048, 4096, 2048, 1024, 1024, 3072),
        encoder_heads=(8, 4, 4, 4, 4, 8),
        decoder_ops="lc sa sa",
        decoder_ffn=(4096, 4096, 4096),
        decoder_heads=(4, 8, 16),
        cross_heads=(4, 4, 4),
        num_memories=(3, 3, 3),
    ),
    "350ms_Aug_14": TranslationNetwork(
        encoder_width=512,
        decoder_width=512,
        encoder_ops="la sa la la sa sa",
        encoder_ffn=(3072, 2048, 4096, 2048, 4096, 4096),
        encoder_heads=(16, 4, 4, 16, 4, 16),
        decoder_ops="lc sa sa",
        decoder_ffn=(4096, 4096, 3072),
        decoder_heads=(4, 16, 8),
        cross_heads=(4, 4, 4),
        num_memories=(3, 3, 3),
    ),
    # Its heads are not those of its arch file.
    "350ms@8bits": TranslationNetwork(
        encoder_width=512,
        decoder_width=768,
        encoder_ops="la ls la la sa sa",
        encoder_ffn=(3072, 3072, 2048, 3072, 4096, 4096),
        encoder_heads=(4, 4, 4, 4, 4, 16),
        decoder_ops="lc ls la sa lc",
        decoder_ffn=(4096,) * 5,
        decoder_heads=(16, 4, 4, 4, 4),
        cross_heads=(8, 4, 4, 4, 4),
        num_memories=(3, 1, 3, 3, 3),
    ),
    "base_27.3": _transformer(512, 2048, 8),
    "big_28.4": _transformer(1024, 4096, 16),
}
