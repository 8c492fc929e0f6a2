"""The sharing of the released code of ShiftAddNAS (commit b60a0e6), for experiments that test what it did to results.

What it does otherwise than `heterogeneous`, and what that costs, stands in docs/method.md ("What the released code does
differently").
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shiftaddnas.errors import UserError
from shiftaddnas.ops import OPERATORS, Conv, KernelOperator, KernelShape
from shiftaddnas.ops.operators import fan_in, gaussian_kernel
from shiftaddnas.sharing.interface import SlotKernels, WeightSharing
from shiftaddnas.sharing.kernels import OwnKernels
from shiftaddnas.sharing.maps import piecewise_linear


@dataclass(frozen=True)
class Released(WeightSharing):
    """One kernel for some operators: conv takes it as it is, add and shift through slopes that start from N(0, 1).

    A shift operator of form "ps" reads the mapped kernel as its exponents. The slopes start from the default generator
    where `slot` gets none; the samples of the divergence always come from it.

    Args:
        operators: who shares; the others have kernels of their own.
        num_bins: slopes of a map.
        divergence_weight: factor of the sum (not the mean) of the divergences, which only add kernels have.
        top_edge: "open" loses the greatest element of each kernel, see `piecewise_linear`.
        initial_std: of shared kernels: 1 whatever the fan-in, or by the fan-in as a convolution's.
        detach_shift: whether the shared kernel gets no gradient from shift operators.
        signs: of shift operators of form "ps": through a second map of the same kernel, or parameters of their own.
        min_slopes: each mapped operator of a slot keeps slopes for so many kernels at least, idle if need be; the
            released code has 6, whether the kernels exist or not, and they count as parameters.

    Raises:
        UserError: a value is out of its range.
    """

    operators: tuple[str, ...] = ("conv", "add", "shift")
    num_bins: int = 100
    divergence_weight: float = 10.0
    top_edge: Literal["open", "closed"] = "open"
    initial_std: Literal["one", "fan_in"] = "one"
    detach_shift: bool = False
    signs: Literal["mapped", "own"] = "mapped"
    min_slopes: int = 0

    name = "released"

    def __post_init__(self) -> None:
        # A config gives a list; a plain value must stay hashable.
        object.__setattr__(self, "operators", tuple(self.operators))
        if not self.operators or set(self.operators) - set(OPERATORS):
            raise UserError(
                f"sharing.operators={list(self.operators)}; allowed are {', '.join(OPERATORS)}, at least one"
            )
        for setting, least in (("num_bins", 1), ("divergence_weight", 0), ("min_slopes", 0)):
            if not getattr(self, setting) >= least:
                raise UserError(f"sharing.{setting}={getattr(self, setting)} is too small; use {least} or more")

    def slot(
        self,
        operators: Mapping[str, KernelOperator],
        shapes: Mapping[str, KernelShape],
        generator: torch.Generator | None = None,
    ) -> SlotKernels:
        return ReleasedKernels(self, operators, shapes, generator)

    def penalty(self, divergences: Sequence[Tensor]) -> Tensor:
        return self.divergence_weight * torch.stack(tuple(divergences)).sum()


class ReleasedKernels(SlotKernels):
    """The kernels of one slot under `Released`."""

    def __init__(
        self,
        sharing: Released,
        operators: Mapping[str, KernelOperator],
        shapes: Mapping[str, KernelShape],
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.sharing = sharing
        self.operators = dict(operators)
        own = {name: operator for name, operator in operators.items() if name not in sharing.operators}
        self.own = OwnKernels(own, shapes, generator)
        self.shared = nn.ParameterDict()
        self.slopes = nn.ModuleDict()
        self.signs = nn.ParameterDict()
        if len(own) == len(operators):
            return
        for kernel, shape in shapes.items():
            std = 1.0 if sharing.initial_std == "one" else Conv().target_std(fan_in(shape))
            self.shared[kernel] = nn.Parameter(gaussian_kernel(shape, std, generator))
        for name, operator in operators.items():
            if name in own or operator.arithmetic == "mult":
                continue
            has_signs = operator.num_tensors == 2
            num_maps = 2 if has_signs and sharing.signs == "mapped" else 1
            idle = [f"idle_{number}" for number in range(sharing.min_slopes - len(shapes))]
            self.slopes[name] = nn.ModuleDict(
                {
                    # Vectors, not one matrix: optimisers do not decay vectors.
                    kernel: nn.ParameterList(
                        nn.Parameter(torch.randn(sharing.num_bins, generator=generator)) for _ in range(num_maps)
                    )
                    for kernel in [*shapes, *idle]
                }
            )
            if has_signs and sharing.signs == "own":
                for kernel, shape in shapes.items():
                    _, sign = operator.initial(shape, generator)
                    self.signs[kernel] = nn.Parameter(sign)

    def names(self) -> Iterator[tuple[str, str]]:
        yield from self.own.names()
        sharers = [operator for operator in self.operators if operator in self.sharing.operators]
        yield from ((operator, kernel) for operator in sharers for kernel in self.shared)

    def weights(self, operator: str, kernel: str) -> tuple[Tensor, ...]:
        if operator not in self.sharing.operators:
            return self.own.weights(operator, kernel)
        w = self.shared[kernel]
        if operator not in self.slopes:
            return (w,)
        if self.operators[operator].arithmetic == "shift" and self.sharing.detach_shift:
            w = w.detach()
        slopes = self.slopes.get_submodule(f"{operator}.{kernel}").parameters()
        mapped = tuple(piecewise_linear(w, vector, top_edge=self.sharing.top_edge) for vector in slopes)
        owns_signs = self.operators[operator].num_tensors == 2 and self.sharing.signs == "own"
        return (*mapped, self.signs[kernel]) if owns_signs else mapped

    def divergence(self, operator: str, kernel: str) -> Tensor | None:
        if operator not in self.slopes or self.operators[operator].arithmetic != "add":
            return None
        (mapped,) = self.weights(operator, kernel)
        return distance_to_laplace_sample(mapped)

    def parameters_of(self, operator: str) -> Iterator[nn.Parameter]:
        if operator not in self.sharing.operators:
            yield from self.own.parameters_of(operator)
            return
        yield from self.shared.parameters()
        if operator in self.slopes:
            yield from self.slopes[operator].parameters()
        if self.operators[operator].num_tensors == 2:
            yield from self.signs.parameters()


def distance_to_laplace_sample(kernel: Tensor) -> Tensor:
    """KL(softmax(z) || softmax(kernel)) / n over the n elements by position, z a fresh sample of Laplace(0, 2).

    It does not measure how Laplacian the kernel is; the sample comes from the default generator.
    """
    z = 2 * (torch.empty_like(kernel).exponential_() - torch.empty_like(kernel).exponential_())
    return F.kl_div(kernel.flatten().log_softmax(0), z.flatten().softmax(0), reduction="sum") / kernel.numel()
