"""What an accelerator model assumes of layers: how their data is stored, and which dense shapes the array computes.

Every assumption is a named setting; docs/accelerator.md says what each does to the price of a network.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from shiftaddnas.hardware.accelerator.array import FORBID_UNKNOWN_KEYS, check_number
from shiftaddnas.hardware.layer import Layer


@dataclass(frozen=True)
class Rule:
    """How the data of a kind of layers is stored, and how fast it is computed.

    Attributes:
        act_bits: of inputs, outputs and partial sums, and of a second operand that is an activation.
        weight_bits: of weights.
        on_chip: DRAM, the global buffer and, but for partial sums, the NoC cost nothing, as if the PEs held all data.
        speedup: cycles are so many times shorter than the clock's.
    """

    __pydantic_config__: ClassVar = FORBID_UNKNOWN_KEYS

    act_bits: float
    weight_bits: float
    on_chip: bool = False
    speedup: float = 1.0

    def check(self, setting: str) -> None:
        """Raise a UserError that names hardware.<setting> unless all numbers are above 0."""
        for name in ("act_bits", "weight_bits", "speedup"):
            check_number(f"{setting}.{name}", getattr(self, name), positive=True)


@dataclass(frozen=True)
class Shape:
    """One dense computation of the array, in the letters of `Layer`, and how many such there are (`copies`)."""

    N: int
    C: int
    M: int
    H: int
    W: int
    E: int
    F: int
    R: int
    S: int
    stride: int
    dilation: int
    copies: int

    @property
    def num_taps(self) -> int:
        """Taps of one copy."""
        return self.N * self.M * self.C * self.R * self.S * self.E * self.F

    @property
    def is_vector(self) -> bool:
        """Whether the maps are single positions, as those of a linear layer are."""
        return self.H == self.W == self.E == self.F == 1


@dataclass(frozen=True)
class Lowering:
    """How a layer becomes dense computations of the array.

    Attributes:
        dense_groups: a grouped convolution is priced as if it had one group, so a depthwise one as a dense one. If
            not, each group is a computation of its own.
        merge_repeats: a matrix product that is repeated (once a head) is priced as one, of a batch so many times as
            large, as if all had the same second operand. If not, each is a computation of its own.
        square_kernels: a kernel of K x 1 over a sequence is priced as one of k x k, k = int(sqrt(K)).
    """

    __pydantic_config__: ClassVar = FORBID_UNKNOWN_KEYS

    dense_groups: bool
    merge_repeats: bool
    square_kernels: bool = False

    def shape(self, layer: Layer) -> Shape:
        groups = 1 if self.dense_groups else layer.groups
        repeats = 1 if self.merge_repeats else layer.repeat
        R, S = layer.R, layer.S
        if self.square_kernels and layer.W == S == 1:
            R = S = math.isqrt(R)
        return Shape(
            N=layer.N * layer.repeat // repeats,
            C=layer.C // groups,
            M=layer.M // groups,
            H=layer.H,
            W=layer.W,
            E=layer.E,
            F=layer.F,
            R=R,
            S=S,
            stride=layer.stride,
            dilation=layer.dilation,
            copies=groups * repeats,
        )
