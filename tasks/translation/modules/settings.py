"""What a hybrid transformer does besides its architecture: dropout, gradients of adders and quantisation, positions."""

from dataclasses import dataclass
from typing import Literal

from shiftaddnas.errors import UserError
from shiftaddnas.ops.quantize import check_bits

Positions = Literal["per_width", "truncated"]


@dataclass(frozen=True)
class TransformerSettings:
    """Settings that no arch decides.

    Args:
        dropout: at the super-transformer's width E'; a network of width E has dropout E / E' at all places alike.
        attention_dropout: of attention weights, at every width.
        weight_dropout: of the taps of lightweight kernels (DropConnect), at every width.
        add_eta: AdderNet's adaptive learning rate of the lightweight adders' kernels, see `shiftaddnas.ops.Add`; the
            released code of ShiftAddNAS has 0.2.
        grad_bits: of output gradients in networks with `num_bits` below 32; None leaves them alone.
        positions: sinusoids of a width's own, half sines and half cosines; or "truncated": the leading columns of the
            super-transformer's, which at half its width are all sines. The released checkpoints were trained so.

    Raises:
        UserError: a probability or `grad_bits` is out of range, or `positions` is unknown.
    """

    dropout: float = 0.3
    attention_dropout: float = 0.1
    weight_dropout: float = 0.03
    add_eta: float | None = None
    grad_bits: int | None = 8
    positions: Positions = "per_width"

    def __post_init__(self) -> None:
        for name in ("dropout", "attention_dropout", "weight_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} is no probability to drop; use 0 or more, below 1")
        check_bits("task.transformer.grad_bits", self.grad_bits)
        if self.positions not in ("per_width", "truncated"):
            raise UserError(f"positions={self.positions} is unknown; it is per_width or truncated")
