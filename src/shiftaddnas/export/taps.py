"""Sums over the taps of kernels, tap by tap, in basic tensor operations that every runtime has.

Adder layers have no operation of their own in ONNX or in PyTorch. Unfolding the patches would hold R S values for each
input, so the taps are unrolled instead: a tap is a strided slice of the padded map, compared with one value of each
kernel. What grows is the number of operations, which is fixed when a network is exported, and not the memory.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shiftaddnas.ops.geometry import Geometry

# B batch, C channels in, F filters, R x S kernel, G groups, c = C/G, f = F/G, E x L output map

MAX_ELEMENTS = 2**20
"""Of what is held at once for each image. Small maps count as 64 positions: theirs are batches of many rows."""


def kernel_taps(weight_FcRS: Tensor, geometry: Geometry, *, num_images: int = 1) -> list[list[Tensor]]:
    """The kernels in chunks of filters, and each chunk as its taps in the order (r, s): (G, f, c, 1, 1).

    Filters are broadcast against the map, so a chunk has no more of them than `MAX_ELEMENTS` allows for `num_images`
    images together, but one at least.
    """
    w_GfcRS = weight_FcRS.reshape(geometry.groups, -1, *weight_FcRS.shape[1:])
    channels, positions = weight_FcRS.shape[1] * geometry.groups, geometry.output_size[0] * geometry.output_size[1]
    num_filters = max(1, MAX_ELEMENTS // (num_images * channels * max(positions, 64)))
    return [
        [tap[..., None, None].contiguous() for tap in chunk.flatten(3).unbind(3)]
        for chunk in torch.split(w_GfcRS, num_filters, dim=1)
    ]


def tap_sums(
    x_BCHW: Tensor, chunks: Sequence[Sequence[tuple[Tensor, ...]]], term: Callable[..., Tensor], geometry: Geometry
) -> Tensor:
    """The sum of `term(x, *kernels)`, elementwise with broadcasting, over channels and taps: (B, F, E, L).

    Kernels of one channel (depthwise) are not broadcast and need no reduction over channels.
    """
    x_taps = _taps(x_BCHW, geometry)
    sums = []
    for chunk in chunks:
        total: Tensor | None = None
        for x_BG1cEL, kernels_Gfc11 in zip(x_taps, chunk, strict=True):
            part = term(x_BG1cEL, *kernels_Gfc11)
            part_BGfEL = part.squeeze(3) if part.shape[3] == 1 else part.sum(3)
            total = part_BGfEL if total is None else total + part_BGfEL
        assert total is not None
        sums.append(total)
    y_BGfEL = sums[0] if len(sums) == 1 else torch.cat(sums, 2)
    return y_BGfEL.reshape(-1, y_BGfEL.shape[1] * y_BGfEL.shape[2], *geometry.output_size)


class AdderTaps(nn.Module):
    """An adder layer as its taps: -sum |x - w|, (B, C, H, W) to (B, F, E, L)."""

    def __init__(self, weight_FcRS: Tensor, geometry: Geometry) -> None:
        super().__init__()
        self.geometry = geometry
        self.chunks = nn.ModuleList(nn.ParameterList(chunk) for chunk in kernel_taps(weight_FcRS, geometry))
        self.requires_grad_(False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        chunks = [[(kernel,) for kernel in chunk.parameters()] for chunk in self.chunks]
        return -tap_sums(x_BCHW, chunks, lambda x, w: (x - w).abs(), self.geometry)


def geometry_of(axes: Sequence[int], groups: int) -> Geometry:
    """The geometry whose `Geometry.axes` these are."""
    size, outputs, taps, stride, padding, dilation = zip(axes[:6], axes[6:], strict=True)
    return Geometry(size, outputs, taps, stride, padding, dilation, groups)


def _taps(x_BCHW: Tensor, geometry: Geometry) -> list[Tensor]:
    """What each tap (r, s) meets at every output position: (B, G, 1, c, E, L)."""
    top, left = geometry.padding
    padded = F.pad(x_BCHW, (left, left, top, top)) if top or left else x_BCHW
    x_BG1cHW = padded.reshape(-1, geometry.groups, 1, padded.shape[1] // geometry.groups, *padded.shape[2:])
    rows, cols = (
        [(tap * dilation, tap * dilation + (outputs - 1) * stride + 1, stride) for tap in range(taps)]
        for outputs, taps, stride, dilation in zip(
            geometry.output_size, geometry.kernel, geometry.stride, geometry.dilation, strict=True
        )
    )
    # Slices of one axis each: indexing would record one for every axis.
    bands = [torch.ops.aten.slice.Tensor(x_BG1cHW, 4, *row) for row in rows]
    return [torch.ops.aten.slice.Tensor(band, 5, *col) for band in bands for col in cols]
