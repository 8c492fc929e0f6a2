"""Fake quantisation: values are rounded to a grid of 2^bits levels and stay floats, so that training meets the error.

The grid is unsigned and asymmetric: from the smallest value in n = 2^bits - 1 steps to the largest. The functions take
this range from the tensor at hand, `FakeQuantize` remembers it. Layers that use them are in `shiftaddnas.ops.modules`.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from shiftaddnas.errors import UserError

_MAX_BITS = 16  # float32 resolves 2^16 levels finely enough to round between them
_MIN_STEP = 1e-8


def check_bits(name: str, bits: int | None) -> None:
    """Whether fake quantisation takes this number of bits; None, full precision, is fine.

    Raises:
        UserError: it is another number.
    """
    if bits is not None and not 1 <= bits <= _MAX_BITS:
        raise UserError(f"{name}={bits} is out of range; fake quantisation takes 1 to {_MAX_BITS} bits")


@dataclass(frozen=True)
class Precision:
    """Bits of what a layer reads (input, weight, bias) and of its output's gradient; None leaves the gradient alone.

    Raises:
        UserError: a number of bits is not from 1 to 16.
    """

    bits: int
    grad_bits: int | None

    def __post_init__(self) -> None:
        check_bits("bits", self.bits)
        check_bits("grad_bits", self.grad_bits)


FIX8 = Precision(bits=8, grad_bits=8)
FIX16 = Precision(bits=16, grad_bits=16)


def fake_quantize(x: Tensor, minimum: Tensor, value_range: Tensor, *, bits: int) -> Tensor:
    """x rounded to minimum + q step, q = 0 ... n, with step = max(value_range / n, 1e-8) and n = 2^bits - 1.

    The gradient is straight-through: the identity, outside the range as well. Half precision is computed in float32.

    Args:
        minimum: smallest value of the grid, of a shape that broadcasts to x's.
        value_range: largest value less the smallest, likewise.
    """
    with torch.no_grad():
        quantized = _on_grid(x, minimum, value_range, bits)
    return straight_through(quantized, x)


def fake_quantize_per_tensor(x: Tensor, *, bits: int) -> Tensor:
    """x on a grid from its smallest to its largest value; see `fake_quantize`."""
    # Along a dimension, for the exporter to ONNX knows no minimum of everything.
    return fake_quantize(x, *_extent(x.flatten(), dim=0), bits=bits)


def fake_quantize_per_row(weight: Tensor, *, bits: int) -> Tensor:
    """A weight (F, ...) of any rank from 2, each of its F output rows on a grid of its own; see `fake_quantize`."""
    shape = (-1, *(1 for _ in weight.shape[1:]))
    minimum_F, range_F = _extent(weight.flatten(1), dim=1)
    return fake_quantize(weight, minimum_F.view(shape), range_F.view(shape), bits=bits)


def quantize_gradient(x: Tensor, *, bits: int, generator: torch.Generator | None = None) -> Tensor:
    """x itself, whose gradient is put on a grid from its smallest to its largest value, by stochastic rounding.

    q = round(clip((g - min) / step + u, 0, n)) with u uniform in +-1/2: the expectation is the gradient. Each process
    takes the range of its own gradient.

    Args:
        generator: of u, on x's device; without one the default generator of the device, as in `nn.Dropout`.
    """
    y: Tensor = _QuantizedGradient.apply(x, bits, generator)
    return y


def straight_through(value: Tensor, x: Tensor) -> Tensor:
    """`value` on the way forward, x on the way back: the gradient passes to x unchanged."""
    # value + (x - x) is exact; the usual x + (value - x) loses what is small beside x.
    return value + (x - x.detach())


class FakeQuantize(nn.Module):
    """Activations on a grid from their smallest to their largest value; see `fake_quantize`.

    In training the range is the batch's own, and running values follow it: 0.1 old + 0.9 new, the first batch setting
    them. In evaluation the running values are used; before the first batch there are none, and the input is left as it
    is.

    Raises:
        UserError: the number of bits is not from 1 to 16.
    """

    running_min: Tensor
    running_range: Tensor
    num_batches_tracked: Tensor

    def __init__(self, bits: int) -> None:
        super().__init__()
        check_bits("bits", bits)
        self.bits = bits
        self.register_buffer("running_min", torch.zeros(()))
        self.register_buffer("running_range", torch.zeros(()))
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.long))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            minimum, value_range = _extent(x)
            self._follow(minimum, value_range)
            return fake_quantize(x, minimum, value_range, bits=self.bits)
        quantized = fake_quantize(x, self.running_min, self.running_range, bits=self.bits)
        return torch.where(self.num_batches_tracked > 0, quantized, x)

    @torch.no_grad()
    def _follow(self, minimum: Tensor, value_range: Tensor) -> None:
        weight = torch.where(self.num_batches_tracked > 0, 0.9, 1.0).to(self.running_min.dtype)
        self.running_min.lerp_(minimum.to(self.running_min.dtype), weight)
        self.running_range.lerp_(value_range.to(self.running_range.dtype), weight)
        self.num_batches_tracked += 1

    def extra_repr(self) -> str:
        return f"bits={self.bits}"


class _QuantizedGradient(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, bits: int, generator: torch.Generator | None) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, ctx.bits, ctx.generator = inputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        noise = torch.rand(grad.shape, generator=ctx.generator, dtype=_dtype(grad), device=grad.device) - 0.5
        return _on_grid(grad, *_extent(grad), ctx.bits, noise), None, None


def _on_grid(x: Tensor, minimum: Tensor, value_range: Tensor, bits: int, noise: Tensor | float = 0.0) -> Tensor:
    num_steps = 2**bits - 1
    # Of x too: beside a tensor with dimensions, one without does not count in PyTorch's type promotion.
    values, minimum, value_range = (tensor.to(_dtype(x)) for tensor in (x, minimum, value_range))
    step = (value_range / num_steps).clamp_min(_MIN_STEP)
    level = ((values - minimum) / step + noise).clamp(0, num_steps).round()
    on_grid: Tensor = (level * step + minimum).to(x.dtype)
    return on_grid


def _extent(x: Tensor, dim: int | None = None) -> tuple[Tensor, Tensor]:
    """Smallest value, and largest less smallest: of the whole tensor, or along a dimension."""
    minimum, maximum = x.detach().aminmax(dim=dim)
    minimum, maximum = minimum.to(_dtype(x)), maximum.to(_dtype(x))
    return minimum, maximum - minimum


def _dtype(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
