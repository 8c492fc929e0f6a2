"""The adder layer in pure PyTorch, over unfolded columns: on every device and type, in bounded memory.

It needs nothing and is the reference; float32 on the CPU is faster by the compiled kernels of `shiftaddnas.ops.native`.
"""

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from shiftaddnas.ops.geometry import Geometry

# B batch, C channels in, F filters, R x S kernel, G groups, K = C/G R S taps of a filter, L output positions, f = F/G,
# P = B L

# Elements of the columns held at once, as measured: smaller chunks pay more overhead per filter, larger ones leave the
# cache.
MAX_COLUMNS = 2**20


def outputs(x_BCHW: Tensor, weight_FCRS: Tensor, geometry: Geometry) -> Tensor:
    """-sum |x - w| over the taps of each filter."""
    w_GfK1 = _by_group(weight_FCRS, geometry).unsqueeze(-1)
    y_BFHW = x_BCHW.new_empty(x_BCHW.shape[0], weight_FCRS.shape[0], *geometry.output_size)
    y_BGfL = y_BFHW.view(x_BCHW.shape[0], *w_GfK1.shape[:2], math.prod(geometry.output_size))
    for chunk in _chunks(x_BCHW, geometry):
        columns_BGKL = _unfold(x_BCHW[chunk], geometry)
        distance_BGKL = torch.empty_like(columns_BGKL)
        for f in range(w_GfK1.shape[1]):
            torch.sub(columns_BGKL, w_GfK1[:, f], out=distance_BGKL)
            y_BGfL[chunk, :, f] = distance_BGKL.abs_().sum(2)
    return y_BFHW.neg_()


def input_gradient(x_BCHW: Tensor, weight_FCRS: Tensor, grad_BFHW: Tensor, geometry: Geometry) -> Tensor:
    """Sum over the filters, and the taps that read the input, of clamp(w - x, -1, 1) g."""
    w_GfK = _by_group(weight_FCRS, geometry)
    grad_BGfL = grad_BFHW.reshape(x_BCHW.shape[0], *w_GfK.shape[:2], math.prod(geometry.output_size))
    grad_x_BCHW = torch.empty_like(x_BCHW)
    for chunk in _chunks(x_BCHW, geometry):
        columns_BGKL = _unfold(x_BCHW[chunk], geometry)
        grad_BGKL = torch.zeros_like(columns_BGKL)
        hard_tanh_BGKL = torch.empty_like(columns_BGKL)
        for f in range(w_GfK.shape[1]):
            torch.sub(w_GfK[:, f].unsqueeze(-1), columns_BGKL, out=hard_tanh_BGKL)
            grad_BGKL.addcmul_(hard_tanh_BGKL.clamp_(-1, 1), grad_BGfL[chunk, :, f].unsqueeze(2))
        grad_x_BCHW[chunk] = F.fold(
            grad_BGKL.flatten(1, 2),
            geometry.input_size,
            geometry.kernel,
            geometry.dilation,
            geometry.padding,
            geometry.stride,
        )
    return grad_x_BCHW


def weight_gradient(x_BCHW: Tensor, weight_FCRS: Tensor, grad_BFHW: Tensor, geometry: Geometry) -> Tensor:
    """Sum over the positions of (x - w) g, as the matrix product g^T X - diag(g^T 1) w."""
    w_GfK = _by_group(weight_FCRS, geometry)
    grad_BGfL = grad_BFHW.reshape(x_BCHW.shape[0], *w_GfK.shape[:2], math.prod(geometry.output_size))
    grad_w_GfK = torch.zeros_like(w_GfK)
    for chunk in _chunks(x_BCHW, geometry):
        columns_GPK = _unfold(x_BCHW[chunk], geometry).permute(1, 0, 3, 2).flatten(1, 2)
        grad_GfP = grad_BGfL[chunk].permute(1, 2, 0, 3).flatten(2)
        grad_w_GfK += grad_GfP @ columns_GPK - grad_GfP.sum(2, keepdim=True) * w_GfK
    return grad_w_GfK.view_as(weight_FCRS)


def _by_group(weight_FCRS: Tensor, geometry: Geometry) -> Tensor:
    return weight_FCRS.reshape(geometry.groups, weight_FCRS.shape[0] // geometry.groups, -1)


def _chunks(x_BCHW: Tensor, geometry: Geometry) -> Iterator[slice]:
    """Slices of the batch whose columns fit into MAX_COLUMNS elements (one image at least)."""
    step = max(1, MAX_COLUMNS // (x_BCHW.shape[1] * geometry.columns_per_channel))
    return (slice(start, start + step) for start in range(0, x_BCHW.shape[0], step))


def _unfold(x_BCHW: Tensor, geometry: Geometry) -> Tensor:
    columns = F.unfold(x_BCHW, geometry.kernel, geometry.dilation, geometry.padding, geometry.stride)
    return columns.view(x_BCHW.shape[0], geometry.groups, -1, columns.shape[-1])
