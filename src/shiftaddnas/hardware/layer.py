"""What one priced computation is: shapes and arithmetic, as plain data.

The letters are those of row-stationary accelerators (docs/method.md, "Layers"): batch N; input C x H x W, unpadded;
output M x E x F; kernel R x S.
"""

from dataclasses import dataclass
from typing import Literal

Arithmetic = Literal["mult", "add", "shift"]


@dataclass(frozen=True)
class Layer:
    """A convolution, a linear layer or a matrix product between activations.

    A linear layer over t tokens is N=t, H=W=E=F=R=S=1. A matrix product (n, c) x (c, m), b of them, is N=n, C=c, M=m,
    repeat=b, second_operand="activation". In each of its `steps` a layer does all of this anew with the same weights,
    as in decoders that translate token by token. `num_params` counts the trainable parameters that come with the layer:
    kernel, bias and the affine pair of the normalisation behind it.
    """

    name: str
    role: str
    op: Literal["conv2d", "linear", "matmul"]
    arithmetic: Arithmetic
    N: int
    C: int
    M: int
    H: int = 1
    W: int = 1
    E: int = 1
    F: int = 1
    R: int = 1
    S: int = 1
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1
    weight_bits: int = 32
    act_bits: int = 32
    second_operand: Literal["weight", "activation"] = "weight"
    repeat: int = 1
    num_params: int = 0
    steps: int = 1

    @property
    def num_taps(self) -> int:
        """Pairs of an input value and a kernel value that meet: N M (C / groups) R S E F, times repeat and steps."""
        taps = self.N * self.M * (self.C // self.groups) * self.R * self.S * self.E * self.F
        return taps * self.repeat * self.steps
