"""What a weight-sharing scheme is: it makes the kernels of a slot, which own the parameters of all its operators."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from shiftaddnas.ops import KernelOperator, KernelShape


class SlotKernels(nn.Module, ABC):
    """The kernels of one slot (one layer at one resolution) for several operators.

    Operators and kernels go by the names that were given to `WeightSharing.slot`, which says what `operators` compute.
    """

    operators: Mapping[str, KernelOperator]

    @abstractmethod
    def names(self) -> Iterator[tuple[str, str]]:
        """Every operator with every kernel: what `weights` takes."""

    @abstractmethod
    def weights(self, operator: str, kernel: str) -> tuple[Tensor, ...]:
        """What the operator's `convolve` takes: `num_tensors` tensors of the kernel's shape (F, C / groups, R, S)."""

    @abstractmethod
    def divergence(self, operator: str, kernel: str) -> Tensor | None:
        """How far the kernel is from the distribution that the operator wants; None where it is not mapped.

        A scalar with gradient, 0 or more. All schemes but `released` take the mean squared distance between the sorted
        kernel, before its gain, and the quantiles of the target at (i + 1/2) / n, over the target's variance.
        """

    @abstractmethod
    def parameters_of(self, operator: str) -> Iterator[nn.Parameter]:
        """Every parameter that the operator's kernels depend on, shared ones included, each once."""


class WeightSharing(ABC):
    """How the operators of a slot share their kernels. Implementations are plain values."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def divergence_weight(self) -> float:
        """What the divergences of the kernels used in a step are multiplied by in the loss; 0 for no such term."""

    def penalty(self, divergences: Sequence[Tensor]) -> Tensor:
        """What the divergences (at least one) of the kernels that an arch uses add to the loss: their weighted mean."""
        total = sum(divergences[1:], divergences[0])
        return self.divergence_weight * total / len(divergences)

    @abstractmethod
    def slot(
        self,
        operators: Mapping[str, KernelOperator],
        shapes: Mapping[str, KernelShape],
        generator: torch.Generator | None = None,
    ) -> SlotKernels:
        """Fresh kernels, one per name in `shapes`, for these operators.

        Raises:
            UserError: the operators cannot share in this way.
        """
