"""Adder layers (AdderNet, CVPR 2020): the L1 distance between patch and kernel in the place of their dot product.

Here are the functions and their gradients; what computes them is chosen in `shiftaddnas.ops.backend`.
"""

import math
from types import ModuleType
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from shiftaddnas.errors import UserError
from shiftaddnas.ops import native, triton_kernels, unfolded
from shiftaddnas.ops.backend import AdderBackend, adder_backend
from shiftaddnas.ops.geometry import Geometry
from shiftaddnas.ops.pair import IntPair

InputGradient = Literal["exact", "truncated"]

_KERNELS: dict[AdderBackend, ModuleType] = {"native": native, "triton": triton_kernels, "torch": unfolded}


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
    input_gradient: InputGradient = "exact",
) -> Tensor:
    """y = -sum |x - w| over the taps of each filter (AdderNet, CVPR 2020); padded positions count as x = 0.

    The gradients are AdderNet's, not the derivatives: the full-precision x - w for the kernel, and the HardTanh
    clamp(w - x, -1, 1) for the input. Computed in float64 where an argument is float64, else in float32, under
    autocast too; the result is of the type that input and kernel have in common.

    Args:
        weight_FCRS: kernels of shape (F, C / groups, R, S).
        bias: (F,) or None.
        eta: AdderNet's adaptive learning rate: the kernel's gradient is rescaled to the norm
            eta * sqrt(numel). Off by default: AdamW does not notice it, and where a kernel is shared between operators
            the rescaled gradient would drown that of the convolution.
        input_gradient: "truncated" is what the released code of ShiftAddNAS computes with a stride: rows i and columns
            j of the output contribute only where i * stride and j * stride lie within the output's own size, so that a
            stride of 2 leaves three quarters of the inputs without a gradient. Only to test what this did to results.

    Raises:
        UserError: channels and groups do not fit, the kernel is larger than the padded input, `input_gradient` is
            unknown, or a backend is forced that cannot run here.
    """
    common = torch.promote_types(x_BCHW.dtype, weight_FCRS.dtype)
    dtype = torch.promote_types(common, torch.float32)
    x_BCHW, weight_FCRS = x_BCHW.to(dtype), weight_FCRS.to(dtype)
    geometry = Geometry.of(x_BCHW, weight_FCRS, stride, padding, dilation, groups)
    if input_gradient not in get_args(InputGradient):
        raise UserError(f"input_gradient={input_gradient} is unknown; it is exact or truncated")
    backend = "torch" if dtype == torch.float64 else adder_backend(x_BCHW.device.type)
    y_BFHW: Tensor = _Adder.apply(x_BCHW, weight_FCRS, geometry, eta, input_gradient, backend).to(common)
    return y_BFHW if bias is None else y_BFHW + bias.view(-1, 1, 1)


def adder_linear(x: Tensor, weight_FC: Tensor, bias: Tensor | None = None, *, eta: float | None = None) -> Tensor:
    """y = -sum |x - w| over the features: (..., C) to (..., F), as `F.linear`; see `adder_conv2d`.

    Raises:
        UserError: the features of input and weight differ.
    """
    if x.shape[-1] != weight_FC.shape[1]:
        raise UserError(
            f"an input of {x.shape[-1]} features does not fit a weight of shape {tuple(weight_FC.shape)}; "
            f"its second size must be the same"
        )
    y_BF = adder_conv2d(x.reshape(-1, x.shape[-1], 1, 1), weight_FC[:, :, None, None], eta=eta).flatten(1)
    y = y_BF.view(*x.shape[:-1], weight_FC.shape[0])
    return y if bias is None else y + bias


class _Adder(torch.autograd.Function):
    @staticmethod
    def forward(
        x_BCHW: Tensor,
        weight_FCRS: Tensor,
        geometry: Geometry,
        eta: float | None,
        input_gradient: InputGradient,
        backend: AdderBackend,
    ) -> Tensor:
        y_BFHW: Tensor = _KERNELS[backend].outputs(x_BCHW, weight_FCRS, geometry)
        return y_BFHW

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x_BCHW, weight_FCRS, ctx.geometry, ctx.eta, ctx.input_gradient, ctx.backend = inputs
        ctx.save_for_backward(x_BCHW, weight_FCRS)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_BFHW: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None, None]:
        x_BCHW, weight_FCRS = ctx.saved_tensors
        kernels = _KERNELS[ctx.backend]
        grad_x_BCHW = grad_w_FCRS = None
        with torch.autocast(x_BCHW.device.type, enabled=False):
            if ctx.needs_input_grad[0]:
                seen_BFHW = grad_BFHW if ctx.input_gradient == "exact" else _truncated(grad_BFHW, ctx.geometry)
                grad_x_BCHW = kernels.input_gradient(x_BCHW, weight_FCRS, seen_BFHW, ctx.geometry)
            if ctx.needs_input_grad[1]:
                grad_w_FCRS = kernels.weight_gradient(x_BCHW, weight_FCRS, grad_BFHW, ctx.geometry)
                if ctx.eta is not None:
                    grad_w_FCRS *= ctx.eta * math.sqrt(grad_w_FCRS.numel()) / grad_w_FCRS.norm().clamp_min(1e-12)
        return grad_x_BCHW, grad_w_FCRS, None, None, None, None


def _truncated(grad_BFHW: Tensor, geometry: Geometry) -> Tensor:
    """The gradient of the outputs whose index times the stride lies within the output, and zeros."""
    rows, columns = (
        math.ceil(size / stride) for size, stride in zip(geometry.output_size, geometry.stride, strict=True)
    )
    kept_BFHW = torch.zeros_like(grad_BFHW)
    kept_BFHW[..., :rows, :columns] = grad_BFHW[..., :rows, :columns]
    return kept_BFHW
