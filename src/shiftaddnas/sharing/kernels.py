"""The two ways to hold the kernels of a slot: each operator its own, or one for all with a map for some."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from shiftaddnas.errors import UserError
from shiftaddnas.ops import Conv, KernelOperator, KernelShape
from shiftaddnas.sharing.interface import SlotKernels
from shiftaddnas.sharing.maps import KernelMap

MapMaker = Callable[[KernelOperator, Tensor], KernelMap | None]
"""From an operator and the fresh shared kernel, the operator's map; None where it takes the kernel as it is."""


class OwnKernels(SlotKernels):
    """Every operator has kernels of its own."""

    def __init__(
        self,
        operators: Mapping[str, KernelOperator],
        shapes: Mapping[str, KernelShape],
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.operators = dict(operators)
        self.own = nn.ModuleDict()
        for operator_name, operator in operators.items():
            self.own[operator_name] = nn.ModuleDict(
                {
                    name: nn.ParameterList(nn.Parameter(tensor) for tensor in operator.initial(shape, generator))
                    for name, shape in shapes.items()
                }
            )

    def names(self) -> Iterator[tuple[str, str]]:
        for operator, kernels in self.own.items():
            assert isinstance(kernels, nn.ModuleDict)
            yield from ((operator, kernel) for kernel in kernels)

    def weights(self, operator: str, kernel: str) -> tuple[Tensor, ...]:
        return tuple(self.own.get_submodule(f"{operator}.{kernel}").parameters())

    def divergence(self, operator: str, kernel: str) -> Tensor | None:
        return None

    def parameters_of(self, operator: str) -> Iterator[nn.Parameter]:
        return self.own[operator].parameters()


class SharedKernels(SlotKernels):
    """One kernel per name, at the convolution's scale, that operators take as it is or through a map of their own."""

    def __init__(
        self,
        operators: Mapping[str, KernelOperator],
        shapes: Mapping[str, KernelShape],
        generator: torch.Generator | None,
        make_map: MapMaker,
    ) -> None:
        super().__init__()
        self.operators = dict(operators)
        self.shared = nn.ParameterDict(
            {name: nn.Parameter(Conv().initial(shape, generator)[0]) for name, shape in shapes.items()}
        )
        self.maps = nn.ModuleDict()
        for operator_name, operator in operators.items():
            maps = {name: make_map(operator, kernel.detach()) for name, kernel in self.shared.items()}
            self.maps[operator_name] = nn.ModuleDict({name: map_ for name, map_ in maps.items() if map_ is not None})

    def names(self) -> Iterator[tuple[str, str]]:
        return ((operator, kernel) for operator in self.maps for kernel in self.shared)

    def weights(self, operator: str, kernel: str) -> tuple[Tensor, ...]:
        map_ = self._map(operator, kernel)
        return (self.shared[kernel] if map_ is None else map_(self.shared[kernel]),)

    def divergence(self, operator: str, kernel: str) -> Tensor | None:
        map_ = self._map(operator, kernel)
        return None if map_ is None else map_.divergence(self.shared[kernel])

    def parameters_of(self, operator: str) -> Iterator[nn.Parameter]:
        yield from self.shared.parameters()
        yield from self.maps[operator].parameters()

    def _map(self, operator: str, kernel: str) -> KernelMap | None:
        maps = self.maps[operator]
        assert isinstance(maps, nn.ModuleDict)
        if kernel not in maps:
            return None
        map_ = maps[kernel]
        assert isinstance(map_, KernelMap)
        return map_


def shared_slot(
    scheme: str,
    operators: Mapping[str, KernelOperator],
    shapes: Mapping[str, KernelShape],
    generator: torch.Generator | None,
    make_map: MapMaker,
) -> SlotKernels:
    """Shared kernels, or, where a slot has a single operator and nothing is to be shared, that operator's own.

    Raises:
        UserError: an operator's kernels are not one tensor each.
    """
    for name, operator in operators.items():
        if operator.num_tensors != 1:
            raise UserError(
                f"sharing={scheme} needs kernels of one tensor, but {name} ({operator}) keeps {operator.num_tensors}; "
                "use sharing=independent or space.shift_form=q"
            )
    if len(operators) == 1:
        return OwnKernels(operators, shapes, generator)
    return SharedKernels(operators, shapes, generator, make_map)
