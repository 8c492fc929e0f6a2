"""Fake quantisation of the layers that the paper's 8-bit networks quantise: on or off as a config's bits say.

Those are self-attention, feed-forward networks of multiplications, and lightweight layers; cross attention, shift
layers, embeddings and normalisations keep full precision (ShiftAddNAS, ICML 2022).
"""

from torch import Tensor, nn

from shiftaddnas.ops import (
    FakeQuantize,
    Precision,
    fake_quantize_per_row,
    fake_quantize_per_tensor,
    quantize_gradient,
)
from tasks.translation.config import FULL_PRECISION

_ANY_BITS = 8  # of a fresh quantiser, until it is set


class Quantizer(nn.Module):
    """What one layer reads and sends back: inputs (with remembered ranges), weight rows and biases, gradients.

    Attributes:
        precision: None, as at the start, leaves everything as it is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.input = FakeQuantize(_ANY_BITS)
        self.precision: Precision | None = None

    def act(self, x: Tensor) -> Tensor:
        if self.precision is None:
            return x
        quantized: Tensor = self.input(x)
        return quantized

    def weight(self, weight: Tensor) -> Tensor:
        return weight if self.precision is None else fake_quantize_per_row(weight, bits=self.precision.bits)

    def bias(self, bias: Tensor) -> Tensor:
        return bias if self.precision is None else fake_quantize_per_tensor(bias, bits=self.precision.bits)

    def output(self, y: Tensor) -> Tensor:
        if self.precision is None or self.precision.grad_bits is None:
            return y
        return quantize_gradient(y, bits=self.precision.grad_bits)


def set_bits(network: nn.Module, num_bits: int, grad_bits: int | None) -> None:
    """Let every quantiser within a network work with so many bits, gradients with `grad_bits`; 32 turns them off."""
    precision = None if num_bits == FULL_PRECISION else Precision(num_bits, grad_bits)
    for module in network.modules():
        if isinstance(module, Quantizer):
            module.precision = precision
            module.input.bits = _ANY_BITS if precision is None else precision.bits
