"""The shipped weight-sharing schemes, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from shiftaddnas.errors import UserError
from shiftaddnas.ops import Conv, KernelOperator, KernelShape
from shiftaddnas.sharing.interface import SlotKernels, WeightSharing
from shiftaddnas.sharing.kernels import OwnKernels, shared_slot
from shiftaddnas.sharing.maps import PiecewiseLinearMap, QuantileMap
from shiftaddnas.sharing.released import Released


@dataclass(frozen=True)
class Independent(WeightSharing):
    """Nothing is shared: each operator has kernels of its own, drawn as it likes them."""

    name = "independent"

    @property
    def divergence_weight(self) -> float:
        return 0.0

    def slot(
        self,
        operators: Mapping[str, KernelOperator],
        shapes: Mapping[str, KernelShape],
        generator: torch.Generator | None = None,
    ) -> SlotKernels:
        return OwnKernels(operators, shapes, generator)


@dataclass(frozen=True)
class Shared(WeightSharing):
    """One kernel for all operators, used as it is."""

    name = "shared"

    @property
    def divergence_weight(self) -> float:
        return 0.0

    def slot(
        self,
        operators: Mapping[str, KernelOperator],
        shapes: Mapping[str, KernelShape],
        generator: torch.Generator | None = None,
    ) -> SlotKernels:
        return shared_slot(self.name, operators, shapes, generator, lambda _operator, _kernel: None)


@dataclass(frozen=True)
class Heterogeneous(WeightSharing):
    """One kernel for all operators; those that do not multiply take it through a learnable piecewise linear map.

    The paper's scheme (ShiftAddNAS, ICML 2022). The divergence pulls the mapped kernel towards the operator's target.

    Raises:
        UserError: num_bins is below 1 or divergence_weight below 0.
    """

    num_bins: int = 100
    divergence_weight: float = 0.1

    name = "heterogeneous"

    def __post_init__(self) -> None:
        if self.num_bins < 1:
            raise UserError(f"sharing.num_bins={self.num_bins}: a map needs at least 1 bin; the paper uses 100")
        _check_divergence_weight(self.divergence_weight)

    def slot(
        self,
        operators: Mapping[str, KernelOperator],
        shapes: Mapping[str, KernelShape],
        generator: torch.Generator | None = None,
    ) -> SlotKernels:
        return shared_slot(self.name, operators, shapes, generator, self._map)

    def _map(self, operator: KernelOperator, kernel: Tensor) -> PiecewiseLinearMap | None:
        if operator.arithmetic == "mult":
            return None
        std = Conv().target_std(kernel[0].numel())
        return PiecewiseLinearMap(operator, kernel, num_bins=self.num_bins, std=std)


@dataclass(frozen=True)
class Quantile(WeightSharing):
    """One kernel for all operators; those that do not multiply take it through the analytic map by equal quantiles.

    Only the gain is learnt. The mapped kernel matches its target as well as the kernel matches a Gaussian.

    Raises:
        UserError: divergence_weight is below 0.
    """

    divergence_weight: float = 0.1

    name = "quantile"

    def __post_init__(self) -> None:
        _check_divergence_weight(self.divergence_weight)

    def slot(
        self,
        operators: Mapping[str, KernelOperator],
        shapes: Mapping[str, KernelShape],
        generator: torch.Generator | None = None,
    ) -> SlotKernels:
        return shared_slot(self.name, operators, shapes, generator, self._map)

    def _map(self, operator: KernelOperator, kernel: Tensor) -> QuantileMap | None:
        return None if operator.arithmetic == "mult" else QuantileMap(operator, kernel)


def _check_divergence_weight(weight: float) -> None:
    if not weight >= 0:
        raise UserError(f"sharing.divergence_weight={weight} would push kernels off their target; use 0 or more")


SCHEMES: dict[str, type[WeightSharing]] = {
    scheme.name: scheme for scheme in (Independent, Shared, Heterogeneous, Quantile, Released)
}
"""The shipped schemes, by name."""
