"""What every supernet offers: all archs of a space in one set of weights."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from shiftaddnas.errors import UserError
from shiftaddnas.spaces import Arch, Space


class Supernet(nn.Module, ABC):
    """All archs of `space`, sharing weights.

    Invariant (see `shiftaddnas.testing.check_supernet`): the network that `extract` returns computes what the supernet
    computes on that arch, and has the parameters and layers that the space states for it.
    """

    space: Space[Any, Any]

    def __init__(self, space: Space[Any, Any]) -> None:
        super().__init__()
        self.space = space
        self._active: Arch | None = None

    @abstractmethod
    def run(self, inputs: Tensor, arch: Arch) -> Tensor:
        """The output of one arch."""

    @abstractmethod
    def extract(self, arch: Arch) -> nn.Module:
        """The network of one arch on its own, with copies of the weights (and statistics) it has here."""

    @abstractmethod
    def regularizer(self, arch: Arch) -> Tensor:
        """The sharing scheme's penalty for the kernels that this arch uses; a scalar, 0 where there is none."""

    @abstractmethod
    def operator_parameters(self, operator: str) -> Iterator[nn.Parameter]:
        """Every parameter that this operator computes with, wherever it is offered."""

    def forward(self, inputs: Tensor, arch: Arch | None = None) -> Tensor:
        """The output of `arch`, or of the arch that `activate` has set."""
        chosen = arch if arch is not None else self._active
        assert chosen is not None, "give an arch, or call inside `with supernet.activate(arch)`"
        return self.run(inputs, chosen)

    @contextmanager
    def activate(self, arch: Arch) -> Iterator[None]:
        """Within this context, calls without an arch compute this one (for code that cannot pass it)."""
        before, self._active = self._active, arch
        try:
            yield
        finally:
            self._active = before

    def freeze(self, operators: Collection[str]) -> None:
        """Train everything but what these operators compute with; an empty collection thaws all."""
        frozen = {id(parameter) for operator in operators for parameter in self.operator_parameters(operator)}
        for parameter in self.parameters():
            parameter.requires_grad_(id(parameter) not in frozen)

    def load_weights(self, state: dict[str, Tensor], source: str) -> None:
        """Load a state dict whole.

        Raises:
            UserError: it belongs to another space or sharing scheme.
        """
        try:
            self.load_state_dict(state)
        except RuntimeError as error:
            reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
            raise UserError(
                f"{source} holds another supernet than space={self.space.name} and this sharing: {reason}"
            ) from None
