"""The lightweight layers of one place: linear, a depthwise operator over time, linear.

The candidates are the depthwise convolution, the adder, and the adder behind a shift layer (ShiftAddNAS, ICML 2022).
Which kernels they share, of the operator and of the linear layers, is the sharing scheme's to say; biases and the shift
layer are each candidate's own.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shiftaddnas.ops import Add, Conv, KernelOperator, lightweight1d
from shiftaddnas.sharing import WeightSharing
from tasks.translation.config import Lightweight
from tasks.translation.modules.linear import SlicedShiftLinear, SlotLinear, leading
from tasks.translation.modules.quantization import Quantizer
from tasks.translation.modules.settings import TransformerSettings
from tasks.translation.modules.state import LayerState


class LightweightLayers(nn.Module):
    """All lightweight candidates of one place: (T, B, C) -> (T, B, C).

    Padded positions are zero where the depthwise operator reads them, as positions outside the sequence are: so nothing
    depends on how far a batch is padded.

    Args:
        heads: different kernels; each serves as many neighbouring channels as any other.
        causal: whether the operator reads no later position.
    """

    def __init__(
        self,
        names: Sequence[Lightweight],
        embed_dim: int,
        heads: int,
        kernel_size: int,
        *,
        causal: bool,
        sharing: WeightSharing,
        settings: TransformerSettings,
        quantized: bool,
    ) -> None:
        super().__init__()
        operators: dict[str, KernelOperator] = {
            name: Conv() if name == "conv" else Add(settings.add_eta) for name in names
        }
        self.logits = sharing.slot(operators, {"taps": (heads, 1, kernel_size, 1)})
        multiplications: dict[str, KernelOperator] = {name: Conv() for name in names}
        square = (embed_dim, embed_dim, 1, 1)
        self.linears = sharing.slot(multiplications, {"linear1": square, "linear2": square})
        self._draw(names)
        self.linear1 = nn.ModuleDict({name: SlotLinear(embed_dim, quantized=quantized) for name in names})
        self.linear2 = nn.ModuleDict({name: SlotLinear(embed_dim, quantized=quantized) for name in names})
        self.shift = SlicedShiftLinear(embed_dim, embed_dim) if "shiftadd" in names else None
        self.depthwise = nn.ModuleDict(
            {
                name: Depthwise(operator, causal=causal, weight_dropout=settings.weight_dropout, quantized=quantized)
                for name, operator in operators.items()
            }
        )

    def forward(
        self, x_TBC: Tensor, name: Lightweight, padding_TB1: Tensor | None = None, state: LayerState | None = None
    ) -> Tensor:
        x = self.linear1[name](x_TBC, self._weight(name, "linear1", x_TBC))
        if name == "shiftadd":
            assert self.shift is not None
            x = self.shift(x, x.shape[-1])
        x = self.depthwise[name](x, self.logits.weights(name, "taps")[0].flatten(1), padding_TB1, state)
        out: Tensor = self.linear2[name](x, self._weight(name, "linear2", x))
        return out

    def divergence(self, name: Lightweight) -> Tensor | None:
        """How far the candidate's kernel is from what its operator wants; None where it is not mapped."""
        return self.logits.divergence(name, "taps")

    def parameters_of(self, name: Lightweight) -> Iterator[nn.Parameter]:
        yield from self.logits.parameters_of(name)
        yield from self.linears.parameters_of(name)
        for linears in (self.linear1, self.linear2):
            yield from linears[name].parameters()
        if name == "shiftadd":
            assert self.shift is not None
            yield from self.shift.parameters()

    @torch.no_grad()
    def copy_kernels_(self, source: "LightweightLayers") -> None:
        """Take the kernels that a wider or equal place computes with for these candidates, after their map."""
        for own, other in ((self.logits, source.logits), (self.linears, source.linears)):
            for name in own.names():
                (target,), (value,) = own.weights(*name), other.weights(*name)
                target.copy_(leading(value, *target.shape))

    def _weight(self, name: Lightweight, linear: str, x: Tensor) -> Tensor:
        width = x.shape[-1]
        return leading(self.linears.weights(name, linear)[0].flatten(1), width, width)

    @torch.no_grad()
    def _draw(self, names: Sequence[Lightweight]) -> None:
        """Xavier-uniform weights, and taps likewise where they are not mapped: a map fits the taps it came with."""
        if all(self.divergence(name) is None for name in names):
            for parameter in self.logits.parameters():
                nn.init.xavier_uniform_(parameter.view(parameter.shape[0], -1))
        for parameter in self.linears.parameters():
            nn.init.xavier_uniform_(parameter.view(parameter.shape[0], -1))


class Depthwise(nn.Module):
    """The operator over time, its kernel the softmax over the taps of the logits (H, K) that it is given."""

    def __init__(self, operator: KernelOperator, *, causal: bool, weight_dropout: float, quantized: bool) -> None:
        super().__init__()
        self.operator, self.causal, self.weight_dropout = operator, causal, weight_dropout
        self.quantizer = Quantizer() if quantized else None

    def forward(self, x_TBC: Tensor, logits_HK: Tensor, padding_TB1: Tensor | None, state: LayerState | None) -> Tensor:
        kernel_HK = F.dropout(logits_HK.softmax(1), self.weight_dropout, self.training)
        if self.quantizer is not None:
            x_TBC, kernel_HK = self.quantizer.act(x_TBC), self.quantizer.weight(kernel_HK)
        if padding_TB1 is not None:
            x_TBC = x_TBC.masked_fill(padding_TB1, 0.0)
        if state is None:
            y_TBC = lightweight1d(x_TBC, kernel_HK, self.operator, padding="causal" if self.causal else "same")
        else:
            y_TBC = self._step(x_TBC, kernel_HK, state)
        return y_TBC if self.quantizer is None else self.quantizer.output(y_TBC)

    def _step(self, x_TBC: Tensor, kernel_HK: Tensor, state: LayerState) -> Tensor:
        assert self.causal, "steps need a causal operator"
        length, batch, channels = kernel_HK.shape[1] - 1, *x_TBC.shape[1:]
        window_BTC = state["window"] if "window" in state else x_TBC.new_zeros(batch, length, channels)
        window_TBC = torch.cat((window_BTC.transpose(0, 1), x_TBC))
        state["window"] = window_TBC[x_TBC.shape[0] :].transpose(0, 1)
        return lightweight1d(window_TBC, kernel_HK, self.operator, padding="valid")
