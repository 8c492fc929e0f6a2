"""Lightweight layers: an operator over time, depthwise, with one short kernel for all channels of a head.

With the convolution this is the lightweight convolution of "Pay Less Attention with Lightweight and Dynamic
Convolutions" (ICLR 2019), with the adder the cheap operator for sequences of ShiftAddNAS (ICML 2022). Sequences are
(time, batch, channels), as in fairseq.
"""

import math
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shiftaddnas.errors import UserError
from shiftaddnas.ops.operators import KernelOperator

# T time, B batch, C channels, H heads, R = C / H channels of a head, K taps

SequencePadding = Literal["same", "causal", "valid"]


def lightweight1d(
    x_TBC: Tensor, kernel_HK: Tensor, operator: KernelOperator, *, padding: SequencePadding = "same"
) -> Tensor:
    """The operator over the taps x[t + j - P, c] and w[c // (C / H), j], j = 0 ... K - 1; x is 0 outside the sequence.

    `Conv()` computes y[t, c] = sum_j w x, `Add()` y[t, c] = -sum_j |x - w|, with the gradients of `adder_conv2d`,
    whatever the length; an operator's `eta` rescales the gradient of the (H, K) kernel. The kernel is used as it is.

    Zeros in x count as positions outside the sequence do. So padded positions have to be set to zero right before
    this call, not before a linear layer with a bias; then the outputs of a sentence do not depend on its batch.

    Args:
        x_TBC: sequences of shape (time, batch, channels).
        kernel_HK: kernels of shape (heads, taps).
        padding: "same" puts P = K // 2 zeros before the sequence and the rest of K - 1 after it, "causal" all K - 1
            before it; "valid" none, and the output has T - K + 1 positions, not T.

    Returns:
        A tensor of shape (time, batch, channels) and of x's type.

    Raises:
        UserError: x or the kernel has another number of dimensions, the heads do not divide the channels, the sequence
            is too short, `padding` is unknown, or the operator's kernels are of several tensors.
    """
    if x_TBC.ndim != 3 or kernel_HK.ndim != 2:
        raise UserError(
            f"an input of shape {tuple(x_TBC.shape)} with kernels of shape {tuple(kernel_HK.shape)} is no batch of "
            "sequences; use (time, batch, channels) and (heads, taps)"
        )
    (length, batch, channels), (num_heads, num_taps) = x_TBC.shape, kernel_HK.shape
    _check_kernel(num_heads, num_taps)
    _check_operator(operator)
    before = _num_zeros_before(padding, num_taps)
    after = 0 if padding == "valid" else num_taps - 1 - before
    if channels % num_heads:
        raise UserError(f"num_heads={num_heads} does not divide {channels} channels; choose a number that does")
    if length + before + after < num_taps:
        raise UserError(
            f"a sequence of length {length} is too short for {num_taps} taps, padding={padding}; "
            f"it needs {num_taps - before - after} or more"
        )
    # Maps of time x channels of a head: neighbouring positions stay neighbours, and no kernel is repeated.
    x_BHTR = x_TBC.reshape(length, batch, num_heads, channels // num_heads).permute(1, 2, 0, 3)
    # Dense once for all, or the outputs and both gradients would copy it again.
    x_BHTR = F.pad(x_BHTR, (0, 0, before, after)).contiguous()
    y_BHTR = operator.convolve(x_BHTR, (kernel_HK[:, None, :, None],), groups=num_heads)
    return y_BHTR.permute(2, 0, 1, 3).flatten(2).to(x_TBC.dtype)


class Lightweight1d(nn.Module):
    """`lightweight1d` with a kernel of its own: the softmax over the taps of `weight` (H, K), with DropConnect.

    The number of channels is free, from call to call too, as long as the heads divide it. Causal layers also run
    step by step, see `step`.

    Args:
        operator: `Conv()`, `Add()` or another operator whose kernels are one tensor.
        padding: "same" or "causal", see `lightweight1d`.
        softmax: whether the kernel is normalised; without, `weight` is the kernel.
        weight_dropout: probability with which a tap of the normalised kernel is dropped in training, the others
            growing by 1 / (1 - p). The noise is the default generator's, as in `nn.Dropout`.
        generator: of the initial weight, Xavier-uniform.

    Raises:
        UserError: a setting is out of range, or the operator's kernels are of several tensors.
    """

    def __init__(
        self,
        operator: KernelOperator,
        num_heads: int,
        kernel_size: int,
        *,
        padding: Literal["same", "causal"] = "same",
        softmax: bool = True,
        weight_dropout: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        _check_operator(operator)
        _check_kernel(num_heads, kernel_size)
        if padding not in ("same", "causal"):
            raise UserError(f"padding={padding} is unknown to a lightweight layer; it is same or causal")
        if not 0 <= weight_dropout < 1:
            raise UserError(f"weight_dropout={weight_dropout} is no probability to drop a tap; use 0 or more, below 1")
        self.operator, self.padding = operator, padding
        self.softmax, self.weight_dropout = softmax, weight_dropout
        bound = math.sqrt(6 / (num_heads + kernel_size))
        self.weight = nn.Parameter(bound * (2 * torch.rand(num_heads, kernel_size, generator=generator) - 1))

    def kernel(self) -> Tensor:
        """The kernel (H, K) that is used now; in training with fresh noise at each call."""
        kernel_HK = self.weight.softmax(1) if self.softmax else self.weight
        return F.dropout(kernel_HK, self.weight_dropout) if self.training else kernel_HK

    def forward(self, x_TBC: Tensor) -> Tensor:
        """Whole sequences (T, B, C) to outputs of the same shape."""
        return lightweight1d(x_TBC, self.kernel(), self.operator, padding=self.padding)

    def step(self, x_TBC: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The outputs of the next positions of causal sequences, one or several, and the state for those after them.

        The chunks of a sequence, one after another, give the outputs that `forward` gives for all of it. The state is
        the last K - 1 inputs, (K - 1, B, C) and zeros before the start. It is a plain tensor: what decodes keeps it,
        and reorders the beams by `state.index_select(1, order)`.

        Args:
            x_TBC: the inputs of the next positions, at least one.
            state: of the positions before them; None at the start.

        Raises:
            UserError: the layer is not causal, or the state is not one of this layer and batch.
        """
        if self.padding != "causal":
            raise UserError(f"a layer with padding={self.padding} reads later positions; steps need padding=causal")
        shape = (self.weight.shape[1] - 1, *x_TBC.shape[1:])
        if state is None:
            state = x_TBC.new_zeros(shape)
        elif state.shape != shape:
            raise UserError(
                f"a state of shape {tuple(state.shape)} does not fit this layer and input, which need {shape}; "
                "pass the state of the same layer's last step, with its batch (dimension 1) in the input's order"
            )
        window_TBC = torch.cat((state, x_TBC))
        y_TBC = lightweight1d(window_TBC, self.kernel(), self.operator, padding="valid")
        return y_TBC, window_TBC[x_TBC.shape[0] :]

    def extra_repr(self) -> str:
        num_heads, kernel_size = self.weight.shape
        return (
            f"{self.operator}, {num_heads}, {kernel_size}, padding={self.padding}, softmax={self.softmax}, "
            f"weight_dropout={self.weight_dropout}"
        )


def _num_zeros_before(padding: SequencePadding, num_taps: int) -> int:
    zeros = {"same": num_taps // 2, "causal": num_taps - 1, "valid": 0}
    if padding not in zeros:
        raise UserError(f"padding={padding} is unknown; it is one of {', '.join(get_args(SequencePadding))}")
    return zeros[padding]


def _check_operator(operator: KernelOperator) -> None:
    if operator.num_tensors != 1:
        raise UserError(
            f"{operator} needs {operator.num_tensors} tensors for a kernel, a lightweight layer has one; "
            "use Conv, Add or Shift of form=q"
        )


def _check_kernel(num_heads: int, kernel_size: int) -> None:
    for name, number in (("num_heads", num_heads), ("kernel_size", kernel_size)):
        if number < 1:
            raise UserError(f"{name}={number} is out of range; a lightweight layer needs 1 or more")
