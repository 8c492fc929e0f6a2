"""Calls of PyTorch's operations that are layers: their operands, and their shape as a `Layer`.

What is not here costs no taps (activations, normalisations, pooling, moving data), or is not priced (`UNPRICED`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from shiftaddnas.hardware import Layer
from shiftaddnas.ops import custom_ops as _adders  # defines the adder layer's operator  # noqa: F401

IsActivation = Callable[[Tensor], bool]

aten = torch.ops.aten
ADDER = torch.ops.shiftaddnas.adder_outputs
CONVOLUTIONS = (aten.convolution, aten._convolution)
# Of the operands of a matrix product: their positions among the arguments.
PRODUCTS = {
    aten.mm: (0, 1),
    aten.bmm: (0, 1),
    aten.mv: (0, 1),
    aten.dot: (0, 1),
    aten.addmm: (1, 2),
    aten.addmm_: (1, 2),
    aten.addmv: (1, 2),
    aten.addbmm: (1, 2),
    aten.addbmm_: (1, 2),
    aten.baddbmm: (1, 2),
    aten.baddbmm_: (1, 2),
}
UNPRICED = {
    f"aten.{name}"
    for name in (
        "_cdist_forward",
        "_cudnn_rnn",
        "_euclidean_dist",
        "_grouped_mm",
        "_int_mm",
        "_scaled_mm",
        "_trilinear",
        "conv_tbc",
        "mkldnn_rnn_layer",
    )
}
"""Operations with taps that have no `Layer`."""


@dataclass(frozen=True)
class Call:
    """A layer, without name and role, and its two operands: the data, and what meets it (a kernel or more data)."""

    layer: Layer
    data: Tensor
    other: Tensor
    remark: str = ""


def read_call(operation: Any, arguments: Sequence[Any], output: Tensor, is_activation: IsActivation) -> Call | None:
    """The layer that a call of an operation (an overload packet) is; None where it is none.

    Raises:
        NotImplementedError: it is one that a `Layer` cannot express.
    """
    if operation in CONVOLUTIONS:
        x, weight, _, stride, padding, dilation, transposed, _, groups, *_ = arguments
        return _convolution(x, weight, output, (stride, padding, dilation), groups, transposed=transposed)
    if operation is ADDER:
        x, weight, axes, groups = arguments
        rows, columns = axes[3:6], axes[9:12]
        call = _convolution(x, weight, output, [*zip(rows, columns, strict=True)], groups, transposed=False)
        if x.shape[2:] == weight.shape[2:] == (1, 1) and groups == 1:  # what a linear layer comes as
            call = replace(call, layer=replace(call.layer, op="linear"))
        return replace(call, layer=replace(call.layer, arithmetic="add"))
    if operation in PRODUCTS:
        first, second = (arguments[position] for position in PRODUCTS[operation])
        return _product(first, second, is_activation)
    if str(operation) in UNPRICED:
        raise NotImplementedError(f"{operation} is not priced")
    return None


def _convolution(
    x: Tensor,
    weight: Tensor,
    output: Tensor,
    steps: Sequence[Sequence[int]],
    groups: int,
    *,
    transposed: bool,
) -> Call:
    """A convolution over rows and columns, or over one axis, which are then rows; steps: stride, padding, dilation.

    A transposed convolution has the taps of the convolution whose adjoint it is, from its output to its input.
    """
    num_axes = weight.dim() - 2
    if num_axes > 2:
        raise NotImplementedError(f"a convolution over {num_axes} axes is not priced")
    source, target = (output, x) if transposed else (x, output)
    H, W, E, F, R, S = (size for tensor in (source, target, weight) for size in _rows_columns(tensor.shape[-num_axes:]))
    # Along an axis of one tap a dilation means nothing. Nobody asks for the padding of each axis: the sizes say it.
    spreads = [spread for spread, taps in zip(steps[2], weight.shape[2:], strict=True) if taps > 1] or [1]
    stride, padding, dilation = (max(values) for values in (steps[0], steps[1], spreads))
    named = {"stride": steps[0], "dilation": spreads}
    uneven = [f"{name} {tuple(values)}" for name, values in named.items() if len(set(values)) > 1]
    layer = Layer(
        "",
        "",
        "conv2d",
        "mult",
        N=x.shape[0] if x.dim() == num_axes + 2 else 1,
        C=source.shape[-num_axes - 1],
        M=target.shape[-num_axes - 1],
        H=H,
        W=W,
        E=E,
        F=F,
        R=R,
        S=S,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )
    return Call(layer, x, weight, f"its {' and '.join(uneven)} counted as the greater" if uneven else "")


def _rows_columns(sizes: Sequence[int]) -> tuple[int, int]:
    return sizes[0], sizes[1] if len(sizes) > 1 else 1


def _product(first: Tensor, second: Tensor, is_activation: IsActivation) -> Call:
    """(b, n, c) x (b, c, m), or the same without b, or with vectors for n = 1 and m = 1."""
    N, C = (1, first.shape[0]) if first.dim() == 1 else first.shape[-2:]
    M = 1 if second.dim() == 1 or second.dim() < first.dim() else second.shape[-1]
    repeat = first.shape[0] if first.dim() == 3 else 1
    if is_activation(first) and is_activation(second):
        return Call(Layer("", "", "matmul", "mult", N=N, C=C, M=M, repeat=repeat), first, second)
    data, weight = first, second
    if is_activation(second):  # a weight times data: each of the data's columns meets all of the weight
        data, weight, N, M = second, first, M, N
    if repeat > 1 and weight.stride(0) == 0:  # one weight for all
        N, repeat = N * repeat, 1
    return Call(Layer("", "", "linear", "mult", N=N, C=C, M=M, repeat=repeat), data, weight)
