"""The shapes of the image fabric: which computations, and how many parameters, every term of a network has.

Nothing here builds a network: blocks.py does, from the same `Shapes`, and a test traces one against the other.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Literal

from shiftaddnas.errors import UserError
from shiftaddnas.hardware.layer import Arithmetic, Layer

Entry = Literal["first", "same", "down"]
AttentionProduct = Literal["standard", "released"]
OPERATORS: dict[str, Arithmetic] = {"attention": "mult", "conv": "mult", "add": "add", "shift": "shift"}
PEG_WITH_BIAS = ("attention", "conv", "shift")


@dataclass(frozen=True)
class Stem:
    """The first convolution: output width, kernel size, stride, and whether a 3x3 max-pool of stride 2 follows."""

    width: int
    kernel: int
    stride: int
    pool: bool


@dataclass(frozen=True)
class Level:
    """A map size (the image's, divided by `reduction`), its width in channels, and the operators allowed there.

    `idle` are further operators that a supernet of build=all has there, though no arch may take them.
    """

    reduction: int
    width: int
    operators: tuple[str, ...]
    idle: tuple[str, ...] = ()


@dataclass(frozen=True)
class OperatorSettings:
    """How the operators compute where the released code of ShiftAddNAS differs; the defaults are ours.

    Released are attention_product=released, add_eta=0.2, add_input_gradient=truncated, shift_act_fraction_bits=16 and,
    of shift_form=ps, shift_grad_bits=16; where kernels are shared, shift_sign_threshold=0.3 as well. What they mean is
    said by `shiftaddnas.ops` (`adder_conv2d`, `Shift`) and blocks.py (`attention`).
    """

    attention_product: AttentionProduct = "standard"
    add_eta: float | None = None
    add_input_gradient: Literal["exact", "truncated"] = "exact"
    shift_sign_threshold: float | None = None
    shift_act_fraction_bits: int | None = None
    shift_grad_bits: int | None = None


@dataclass(frozen=True)
class ImageWorkload:
    """What one network is priced for: one square image and a number of classes."""

    image_size: int
    in_channels: int
    num_classes: int


@dataclass(frozen=True)
class StemTerm:
    pass


@dataclass(frozen=True)
class EntryTerm:
    """The projection from the stem to the finest level."""


@dataclass(frozen=True)
class HeadTerm:
    pass


@dataclass(frozen=True)
class BlockTerm:
    operator: str
    level: int
    entry: Entry


@dataclass(frozen=True)
class Shapes:
    """All widths and sizes of a fabric."""

    stem: Stem
    levels: tuple[Level, ...]
    bottleneck: int
    head_dim: int
    shift_form: Literal["q", "ps"]
    peg_bias: tuple[str, ...] = PEG_WITH_BIAS

    def check(self) -> None:
        """Raise a UserError unless all numbers are possible, and the levels fit the stem, each other and the heads."""
        numbers = {"bottleneck": self.bottleneck, "head_dim": self.head_dim}
        numbers |= {f"stem.{name}": getattr(self.stem, name) for name in ("width", "kernel", "stride")}
        numbers |= {f"levels[{number}].width": level.width for number, level in enumerate(self.levels)}
        for name, number in numbers.items():
            if number < 1:
                raise UserError(f"space.{name}={number}; allowed are whole numbers from 1")
        if self.stem.kernel % 2 == 0:
            raise UserError(f"space.stem.kernel={self.stem.kernel}; allowed are odd numbers")
        stem_reduction = self.stem.stride * (2 if self.stem.pool else 1)
        for number, level in enumerate(self.levels):
            expected = stem_reduction * 2**number
            if level.reduction != expected:
                raise UserError(
                    f"space.levels[{number}].reduction={level.reduction}; the stem reduces by {stem_reduction} and "
                    f"each level by 2, so it must be {expected}"
                )
            if level.width % self.bottleneck:
                raise UserError(
                    f"space.levels[{number}].width={level.width} is not a multiple of "
                    f"space.bottleneck={self.bottleneck}"
                )
            if "attention" in (*level.operators, *level.idle) and self.inner(number) % self.head_dim:
                raise UserError(
                    f"space.levels[{number}] allows attention, but its inner width {self.inner(number)} is not a "
                    f"multiple of space.head_dim={self.head_dim}"
                )

    def inner(self, level: int) -> int:
        """The width inside a bottleneck block."""
        return self.levels[level].width // self.bottleneck

    def input_width(self, level: int, entry: Entry) -> int:
        """The channels that a block receives."""
        if entry == "first":
            return self.inner(level)
        return self.levels[level - 1].width if entry == "down" else self.levels[level].width

    def kernels(self, level: int, entries: frozenset[Entry]) -> dict[str, tuple[int, int, int, int]]:
        """The kernels of a conv, add or shift block that operators of one slot may share, by name: (F, C, R, S)."""
        return self._outer_kernels(level, entries) | {"conv2": (self.inner(level), self.inner(level), 3, 3)}

    def attention_kernels(self, level: int, entries: frozenset[Entry]) -> dict[str, tuple[int, int, int, int]]:
        """The kernels of an attention block, by name: (F, C, R, S)."""
        return self._outer_kernels(level, entries) | {"qkv": (3 * self.inner(level), self.inner(level), 1, 1)}

    def _outer_kernels(self, level: int, entries: frozenset[Entry]) -> dict[str, tuple[int, int, int, int]]:
        width, inner = self.levels[level].width, self.inner(level)
        kernels: dict[str, tuple[int, int, int, int]] = {}
        for entry in sorted(entries):
            channels = self.input_width(level, entry)
            kernels[f"conv1_{entry}"] = (inner, channels, 1, 1)
            if entry != "same":
                size = 3 if entry == "down" else 1
                kernels[f"shortcut_{entry}"] = (width, channels, size, size)
        return kernels | {"conv3": (width, inner, 1, 1)}

    def check_image(self, workload: ImageWorkload) -> None:
        """Raise a UserError unless the image is a multiple of the coarsest level's reduction."""
        coarsest = self.levels[-1].reduction
        if workload.image_size % coarsest:
            raise UserError(
                f"images of {workload.image_size} pixels do not fit the space: its coarsest level needs a multiple "
                f"of {coarsest}"
            )

    def layers(self, term: object, workload: ImageWorkload) -> tuple[Layer, ...]:
        """The priced computations of a term for one image.

        Raises:
            UserError: see `check_image`.
        """
        self.check_image(workload)
        match term:
            case StemTerm():
                stem = self.stem
                size = workload.image_size
                return (
                    convolution_layer("stem", "stem", workload.in_channels, stem.width, size, stem.kernel, stem.stride),
                )
            case EntryTerm():
                size = workload.image_size // self.levels[0].reduction
                width = self.stem.width
                return (
                    convolution_layer("depthwise", "entry", width, width, size, 1, groups=width, norm=False),
                    convolution_layer("project", "entry", width, self.inner(0), size, 1),
                )
            case HeadTerm():
                width, classes = self.levels[-1].width, workload.num_classes
                return (Layer("head", "head", "linear", "mult", 1, width, classes, num_params=(width + 1) * classes),)
            case BlockTerm():
                return tuple(self._block(term, workload.image_size))
        raise AssertionError(f"{term} is not a term of the image fabric")

    def _block(self, term: BlockTerm, image_size: int) -> Iterator[Layer]:
        width = self.levels[term.level].width
        channels = self.input_width(term.level, term.entry)
        stride = 2 if term.entry == "down" else 1
        size = image_size // self.levels[term.level].reduction
        conv = self.convolution(term.operator)
        if term.entry != "same":
            yield conv("shortcut", "shortcut", channels, width, size * stride, 3 if stride == 2 else 1, stride)
        yield from self.main_path(term, image_size, channels)

    def convolution(self, operator: str) -> Callable[..., Layer]:
        """`convolution_layer` with an operator's arithmetic and number of tensors."""
        tensors = 2 if operator == "shift" and self.shift_form == "ps" else 1
        return partial(convolution_layer, arithmetic=OPERATORS[operator], tensors=tensors)

    def main_path(self, term: BlockTerm, image_size: int, channels: int) -> Iterator[Layer]:
        """A block without its shortcut, from so many channels."""
        width, inner = self.levels[term.level].width, self.inner(term.level)
        stride = 2 if term.entry == "down" else 1
        size = image_size // self.levels[term.level].reduction
        conv = self.convolution(term.operator)
        yield conv("conv1", "main", channels, inner, size * stride, 1, norm=False)
        bias = term.operator in self.peg_bias
        yield conv("peg", "peg", inner, inner, size * stride, 3, stride, groups=inner, bias=bias)
        if term.operator == "attention":
            tokens, heads = size * size, inner // self.head_dim
            yield conv("qkv", "attention", inner, 3 * inner, size, 1, norm=False)
            yield _matmul("scores", tokens, self.head_dim, tokens, heads)
            # The batch normalisation behind the attention belongs to its output.
            yield _matmul("mix", tokens, tokens, self.head_dim, heads, num_params=2 * inner)
        else:
            yield conv("conv2", "main", inner, inner, size, 3)
        yield conv("conv3", "main", inner, width, size, 1)


def convolution_layer(
    name: str,
    role: str,
    C: int,
    M: int,
    H: int,
    kernel: int,
    stride: int = 1,
    *,
    arithmetic: Arithmetic = "mult",
    groups: int = 1,
    bias: bool = False,
    norm: bool = True,
    tensors: int = 1,
) -> Layer:
    """A square convolution with "same" padding, on an H x H map, with the normalisation behind it."""
    out = (H + 2 * (kernel // 2) - kernel) // stride + 1
    num_params = tensors * M * (C // groups) * kernel * kernel + (M if bias else 0) + (2 * M if norm else 0)
    return Layer(
        name,
        role,
        "conv2d",
        arithmetic,
        N=1,
        C=C,
        M=M,
        H=H,
        W=H,
        E=out,
        F=out,
        R=kernel,
        S=kernel,
        stride=stride,
        padding=kernel // 2,
        groups=groups,
        num_params=num_params,
    )


def _matmul(name: str, N: int, C: int, M: int, repeat: int, num_params: int = 0) -> Layer:
    return Layer(
        name,
        "attention",
        "matmul",
        "mult",
        N=N,
        C=C,
        M=M,
        second_operand="activation",
        repeat=repeat,
        num_params=num_params,
    )
