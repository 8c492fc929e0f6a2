"""Adder layers (AdderNet, CVPR 2020): the L1 distance between patch and kernel in the place of their dot product.

Forward and gradients are written once, over unfolded columns, and hold for every stride, padding, dilation and number
of groups.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from shiftaddnas.errors import UserError
from shiftaddnas.ops.pair import IntPair, pair

# B batch, C channels in, F filters, R x S kernel, G groups, K = C/G R S taps of a filter, L output positions, f = F/G

# Elements of the columns held at once, as measured: smaller chunks pay more overhead per filter, larger ones leave the
# cache.
MAX_COLUMNS = 2**20


def adder_conv2d(
    x_BCHW: Tensor,
    weight_FCRS: Tensor,
    bias: Tensor | None = None,
    *,
    stride: IntPair = 1,
    padding: IntPair = 0,
    dilation: IntPair = 1,
    groups: int = 1,
    eta: float | None = None,
) -> Tensor:
    """y = -sum |x - w| over the taps of each filter (AdderNet, CVPR 2020); padded positions count as x = 0.

    The gradients are AdderNet's, not the derivatives: the full-precision x - w for the kernel, and the HardTanh
    clamp(w - x, -1, 1) for the input. Computed in float64 where an argument is float64, else in float32, under
    autocast too.

    Args:
        weight_FCRS: kernels of shape (F, C / groups, R, S).
        bias: (F,) or None.
        eta: AdderNet's adaptive learning rate: the kernel's gradient is rescaled to the norm
            eta * sqrt(numel). Off by default: AdamW does not notice it, and where a kernel is shared between operators
            the rescaled gradient would drown that of the convolution.

    Raises:
        UserError: channels and groups do not fit, or the kernel is larger than the padded input.
    """
    dtype = torch.promote_types(torch.promote_types(x_BCHW.dtype, weight_FCRS.dtype), torch.float32)
    geometry = _Geometry(x_BCHW, weight_FCRS, pair(stride), pair(padding), pair(dilation), groups)
    y_BFHW: Tensor = _AdderConv2d.apply(x_BCHW.to(dtype), weight_FCRS.to(dtype), geometry, eta)
    return y_BFHW if bias is None else y_BFHW + bias.view(-1, 1, 1)


class _Geometry:
    """How patches become columns: kernel size, stride, padding, dilation, groups, and the output's size."""

    def __init__(
        self,
        x_BCHW: Tensor,
        weight_FCRS: Tensor,
        stride: tuple[int, int],
        padding: tuple[int, int],
        dilation: tuple[int, int],
        groups: int,
    ) -> None:
        channels, filters = x_BCHW.shape[1], weight_FCRS.shape[0]
        if channels != weight_FCRS.shape[1] * groups or filters % groups:
            raise UserError(
                f"groups={groups} does not fit {channels} input channels and kernels of shape "
                f"{tuple(weight_FCRS.shape)}; both channel counts must be divisible by it"
            )
        self.kernel = weight_FCRS.shape[2], weight_FCRS.shape[3]
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.input_size = x_BCHW.shape[2], x_BCHW.shape[3]
        self.output_size = tuple(
            (size + 2 * pad - spread * (taps - 1) - 1) // step + 1
            for size, pad, spread, taps, step in zip(
                self.input_size, padding, dilation, self.kernel, stride, strict=True
            )
        )
        if min(self.output_size) < 1:
            raise UserError(
                f"a kernel of {self.kernel} does not fit an input of {self.input_size}, padded by {padding}"
            )

    def chunks(self, x_BCHW: Tensor) -> Iterator[slice]:
        """Slices of the batch whose columns fit into MAX_COLUMNS elements (one image at least)."""
        columns = x_BCHW.shape[1] * math.prod(self.kernel) * math.prod(self.output_size)
        step = max(1, MAX_COLUMNS // columns)
        return (slice(start, start + step) for start in range(0, x_BCHW.shape[0], step))

    def unfold(self, x_BCHW: Tensor) -> Tensor:
        columns = F.unfold(x_BCHW, self.kernel, self.dilation, self.padding, self.stride)
        return columns.view(x_BCHW.shape[0], self.groups, -1, columns.shape[-1])

    def fold(self, columns_BGKL: Tensor) -> Tensor:
        """The adjoint of `unfold`: every column entry is added to the input position that it was read from."""
        return F.fold(
            columns_BGKL.flatten(1, 2), self.input_size, self.kernel, self.dilation, self.padding, self.stride
        )


class _AdderConv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_BCHW: Tensor, weight_FCRS: Tensor, geometry: _Geometry, eta: float | None) -> Tensor:
        ctx.save_for_backward(x_BCHW, weight_FCRS)
        ctx.geometry, ctx.eta = geometry, eta
        w_GfK1 = weight_FCRS.reshape(geometry.groups, weight_FCRS.shape[0] // geometry.groups, -1, 1)
        y_BFHW = x_BCHW.new_empty(x_BCHW.shape[0], weight_FCRS.shape[0], *geometry.output_size)
        y_BGfL = y_BFHW.view(x_BCHW.shape[0], *w_GfK1.shape[:2], -1)
        for chunk in geometry.chunks(x_BCHW):
            columns_BGKL = geometry.unfold(x_BCHW[chunk])
            distance_BGKL = torch.empty_like(columns_BGKL)
            for f in range(w_GfK1.shape[1]):
                torch.sub(columns_BGKL, w_GfK1[:, f], out=distance_BGKL)
                y_BGfL[chunk, :, f] = distance_BGKL.abs_().sum(2)
        return y_BFHW.neg_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BFHW: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        x_BCHW, weight_FCRS = ctx.saved_tensors
        geometry: _Geometry = ctx.geometry
        needs_x, needs_weight = ctx.needs_input_grad[:2]
        grad_x_BCHW = torch.empty_like(x_BCHW) if needs_x else None
        w_GfK = weight_FCRS.reshape(geometry.groups, weight_FCRS.shape[0] // geometry.groups, -1)
        grad_w_GfK = torch.zeros_like(w_GfK) if needs_weight else None
        grad_BGfL = grad_BFHW.reshape(x_BCHW.shape[0], *w_GfK.shape[:2], -1)
        with torch.autocast(x_BCHW.device.type, enabled=False):
            for chunk in geometry.chunks(x_BCHW):
                columns_BGKL = geometry.unfold(x_BCHW[chunk])
                if grad_w_GfK is not None:
                    grad_w_GfK += _weight_gradient(columns_BGKL, w_GfK, grad_BGfL[chunk])
                if grad_x_BCHW is not None:
                    grad_x_BCHW[chunk] = geometry.fold(_input_gradient(columns_BGKL, w_GfK, grad_BGfL[chunk]))
        if grad_w_GfK is None:
            return grad_x_BCHW, None, None, None
        if ctx.eta is not None:
            grad_w_GfK *= ctx.eta * math.sqrt(grad_w_GfK.numel()) / grad_w_GfK.norm().clamp_min(1e-12)
        return grad_x_BCHW, grad_w_GfK.view_as(weight_FCRS), None, None


def _weight_gradient(columns_BGKL: Tensor, w_GfK: Tensor, grad_BGfL: Tensor) -> Tensor:
    """Sum over the positions of (x - w) g, as the matrix product g^T X - diag(g^T 1) w."""
    columns_GPK = columns_BGKL.permute(1, 0, 3, 2).flatten(1, 2)
    grad_GfP = grad_BGfL.permute(1, 2, 0, 3).flatten(2)
    return grad_GfP @ columns_GPK - grad_GfP.sum(2, keepdim=True) * w_GfK


def _input_gradient(columns_BGKL: Tensor, w_GfK: Tensor, grad_BGfL: Tensor) -> Tensor:
    """Sum over the filters of clamp(w - x, -1, 1) g, for every column entry."""
    grad_BGKL = torch.zeros_like(columns_BGKL)
    hard_tanh_BGKL = torch.empty_like(columns_BGKL)
    for f in range(w_GfK.shape[1]):
        torch.sub(w_GfK[:, f].unsqueeze(-1), columns_BGKL, out=hard_tanh_BGKL)
        grad_BGKL.addcmul_(hard_tanh_BGKL.clamp_(-1, 1), grad_BGfL[:, :, f].unsqueeze(2))
    return grad_BGKL
