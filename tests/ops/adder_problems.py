"""Adder layers for the tests of kernels: shapes, random tensors, and what the PyTorch path makes of them in float64."""

from typing import NamedTuple

import torch
from torch import Tensor

from shiftaddnas.ops import unfolded
from shiftaddnas.ops.geometry import Geometry


class Shape(NamedTuple):
    batch: int
    channels: int
    filters: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: int | tuple[int, int] = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1


class Problem(NamedTuple):
    x: Tensor
    weight: Tensor
    grad: Tensor
    geometry: Geometry


def problem(shape: Shape) -> Problem:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape.batch, shape.channels, *shape.size, generator=generator)
    weight = torch.randn(shape.filters, shape.channels // shape.groups, *shape.kernel, generator=generator)
    geometry = Geometry.of(x, weight, shape.stride, shape.padding, shape.dilation, shape.groups)
    grad = torch.randn(shape.batch, shape.filters, *geometry.output_size, generator=generator)
    return Problem(x, weight, grad, geometry)


def expected(p: Problem) -> tuple[Tensor, Tensor, Tensor]:
    """Outputs, and the gradients of input and weight."""
    x, weight, grad = p.x.double(), p.weight.double(), p.grad.double()
    return (
        unfolded.outputs(x, weight, p.geometry),
        unfolded.input_gradient(x, weight, grad, p.geometry),
        unfolded.weight_gradient(x, weight, grad, p.geometry),
    )
