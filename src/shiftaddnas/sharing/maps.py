"""Maps from the Gaussian kernel that operators share to the distribution that each of them wants (ShiftAddNAS).

A map is a shape at unit standard deviation times a learnable gain: an adder's kernel must live at the scale of its
input, which no shape of a kernel at fan-in scale would reach.
"""

from abc import ABC, abstractmethod
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from shiftaddnas.ops import Distribution, KernelOperator


def bin_indices(w: Tensor, num_bins: int) -> Tensor:
    """The bin of each element among equally wide bins between the least and the greatest; both edges are closed."""
    with torch.no_grad():
        low, high = w.aminmax()
        width = ((high - low) / num_bins).clamp_min(torch.finfo(w.dtype).tiny)
        return ((w - low) / width).int().clamp_(0, num_bins - 1)


def piecewise_linear(w: Tensor, slopes: Tensor, *, top_edge: Literal["closed", "open"] = "closed") -> Tensor:
    """slopes[bin(w)] * w: linear through the origin in each bin. The edges carry no gradient.

    With an open top edge the greatest element is in no bin and becomes 0, as in the released code of ShiftAddNAS.
    """
    bins = bin_indices(w, slopes.numel())
    mapped = slopes.index_select(0, bins.flatten()).view_as(w) * w
    return mapped if top_edge == "closed" else mapped.masked_fill(w.detach() == w.detach().max(), 0.0)


def divergence(unit: Tensor, target: Distribution) -> Tensor:
    """Mean squared distance between the sorted elements and the target's quantiles, whose variance is 1.

    It is the squared 2-Wasserstein distance between the elements and the target, up to the quantiles' grid.
    """
    elements = unit.flatten()
    ordered = elements[_increasing_order(elements.detach())]
    return (ordered - target.quantiles(ordered.numel(), like=ordered)).square().mean()


def _increasing_order(values: Tensor) -> Tensor:
    """The indices that sort a vector. On the CPU NumPy finds those of a kernel six times as fast as torch."""
    if values.device.type != "cpu" or values.dtype == torch.bfloat16:  # which NumPy does not have
        return values.argsort()
    return torch.from_numpy(np.argsort(values.numpy()))


class KernelMap(nn.Module, ABC):
    """The map of one operator for one kernel: gain * unit(w)."""

    gain: nn.Parameter

    def __init__(self, target: Distribution) -> None:
        super().__init__()
        self.target = target

    @abstractmethod
    def unit(self, w: Tensor) -> Tensor:
        """The kernel in the target's shape, at about unit standard deviation."""

    def forward(self, w: Tensor) -> Tensor:
        return self.gain * self.unit(w)

    def divergence(self, w: Tensor) -> Tensor:
        """How far `unit(w)` is from the target (see `divergence`)."""
        return divergence(self.unit(w), self.target)

    def start_at(self, std: float, w: Tensor) -> None:
        """Set the gain so that the mapped kernel has this standard deviation."""
        with torch.no_grad():
            self.gain = nn.Parameter(std / self.unit(w).std(correction=0))


class PiecewiseLinearMap(KernelMap):
    """One learnable slope per bin (ShiftAddNAS, "heterogeneous weight sharing").

    The slopes start from the map of a Gaussian onto the target by equal quantiles, at the centres of the bins.
    """

    def __init__(self, operator: KernelOperator, w: Tensor, *, num_bins: int, std: float) -> None:
        """For kernels like `w`, whose standard deviation is expected to be `std`."""
        super().__init__(operator.target)
        self.std = std
        low, high = (w.double() / std).aminmax()
        indices = torch.arange(num_bins, dtype=torch.float64, device=w.device)
        centres = low + (indices + 0.5) * (high - low) / num_bins
        # The slope's limit at the origin, where it would be 0 / 0.
        centres = torch.where(centres.abs() < 1e-6, 1e-6, centres)
        self.slopes = nn.Parameter((operator.target.from_gaussian(centres) / centres).to(w.dtype))
        self.start_at(operator.target_std(w[0].numel()), w)

    def unit(self, w: Tensor) -> Tensor:
        return piecewise_linear(w, self.slopes) / self.std


class QuantileMap(KernelMap):
    """The analytic map by equal quantiles: the kernel, standardised by its own mean and deviation, onto the target."""

    def __init__(self, operator: KernelOperator, w: Tensor) -> None:
        super().__init__(operator.target)
        self.start_at(operator.target_std(w[0].numel()), w)

    def unit(self, w: Tensor) -> Tensor:
        std, mean = torch.std_mean(w, correction=0)
        return self.target.from_gaussian((w - mean) / std)
