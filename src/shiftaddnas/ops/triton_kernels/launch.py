"""How the kernels are launched: in which tiles, on which layout of their tensors; and where they can be."""

import math
import os
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from shiftaddnas.ops import custom_ops
from shiftaddnas.ops.geometry import Geometry

# Chosen from the machine code that they give; 128 threads hold the sums of two positions each.
BLOCK_POSITIONS, NUM_WARPS = 256, 4
OUTPUT_LANES, GRADIENT_LANES = 16, 8  # of gradients there are half as many: their inputs are held as well
WARP = 32  # neighbours that are read at once
INT32_MAX = 2**31 - 1


def why_unavailable(device_type: str) -> str | None:
    """Why the kernels cannot run on tensors of a device, and what to do; None where they can."""
    if find_spec("triton") is None:
        return "Triton is not installed; it comes with PyTorch for Linux and GPUs"
    if device_type == "cuda" or (device_type == "cpu" and os.environ.get("TRITON_INTERPRET") == "1"):
        return None
    return f"Triton computes on a GPU, and the layer's input is on {device_type}; move the layer and its input to a GPU"


def outputs(x_BCHW: Tensor, weight_FCRS: Tensor, geometry: Geometry) -> Tensor:
    """-sum |x - w| over the taps of each filter."""
    if x_BCHW.is_cpu:  # in the interpreter; the custom operator's are the native kernels there
        return _outputs(x_BCHW, weight_FCRS, geometry.axes, geometry.groups)
    return custom_ops.outputs(x_BCHW, weight_FCRS, geometry)


def input_gradient(x_BCHW: Tensor, weight_FCRS: Tensor, grad_BFHW: Tensor, geometry: Geometry) -> Tensor:
    """Sum over the filters, and the taps that read the input, of clamp(w - x, -1, 1) g."""
    if x_BCHW.is_cpu:
        return _input_gradient(x_BCHW, weight_FCRS, grad_BFHW, geometry.axes, geometry.groups)
    return custom_ops.input_gradient(x_BCHW, weight_FCRS, grad_BFHW, geometry)


def _outputs(x: Tensor, weight: Tensor, axes: list[int], groups: int) -> Tensor:
    from shiftaddnas.ops.triton_kernels import kernels

    y: Tensor = custom_ops.empty_outputs(x, weight, axes, groups)
    w_GfcT = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
    sizes = groups, w_GfcT.shape[2], w_GfcT.shape[1], *axes
    tensors = _by_positions(x), w_GfcT.permute(0, 3, 2, 1).contiguous(), y
    _launch(kernels.outputs, tensors, tensors[0], sizes, y.shape[2:], OUTPUT_LANES)
    return y


def _input_gradient(x: Tensor, weight: Tensor, grad: Tensor, axes: list[int], groups: int) -> Tensor:
    from shiftaddnas.ops.triton_kernels import kernels

    x = x.contiguous()
    grad_x = torch.empty_like(x)
    w_GfcT = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], -1)
    sizes = groups, w_GfcT.shape[1], w_GfcT.shape[2], *axes
    tensors = x, w_GfcT.permute(0, 3, 1, 2).contiguous(), _by_positions(grad), grad_x
    stride = axes[3], axes[9]
    phase = [math.ceil(size / step) for size, step in zip(x.shape[2:], stride, strict=True)]
    _launch(kernels.input_gradients, tensors, tensors[2], sizes, phase, GRADIENT_LANES, num_phases=math.prod(stride))
    return grad_x


torch.library.impl("shiftaddnas::adder_outputs", "cuda", _outputs)
torch.library.impl("shiftaddnas::adder_input_gradient", "cuda", _input_gradient)


def _by_positions(tensor: Tensor) -> Tensor:
    """The tensor with dense maps; where they are smaller than a warp, the maps of a channel are neighbours."""
    if tensor.shape[2] * tensor.shape[3] < WARP:
        return tensor.transpose(0, 1).contiguous().transpose(0, 1)
    return tensor.contiguous()


def _launch(
    kernel: Any,
    tensors: tuple[Tensor, ...],
    read: Tensor,
    sizes: tuple[int, ...],
    area: Sequence[int],
    max_lanes: int,
    num_phases: int = 1,
) -> None:
    """Run a kernel on all tiles of maps of this area; the sizes are groups, depth, lanes, and the axes."""
    from triton import cdiv, language, next_power_of_2

    images, (groups, _, lanes, *_) = read.shape[0], sizes
    num_positions = images * math.prod(area)
    block_lanes = min(max_lanes, next_power_of_2(lanes))
    num_tiles = cdiv(lanes, block_lanes) * groups * num_phases * cdiv(num_positions, BLOCK_POSITIONS)
    last_index = max(num_positions + BLOCK_POSITIONS, *(math.prod(tensor.shape[2:]) for tensor in tensors))
    with torch.cuda.device_of(read):  # type: ignore[no-untyped-call]
        kernel[(num_tiles,)](
            *tensors,
            read.stride(0),
            read.stride(1),
            images,
            *sizes,
            INDEX=language.int32 if last_index <= INT32_MAX else language.int64,
            BLOCK_L=block_lanes,
            BLOCK_P=BLOCK_POSITIONS,
            num_warps=NUM_WARPS,
        )
