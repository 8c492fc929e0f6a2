"""The space of a single network, so that whatever prices the archs of a space prices any network."""

from collections.abc import Collection, Sequence
from typing import Any

from shiftaddnas.hardware.layer import Layer
from shiftaddnas.spaces.arch import Arch, Choice
from shiftaddnas.spaces.space import Decision, Space, Term


class FixedSpace(Space[bool, Any]):
    """A space of one arch, which has these layers whatever the workload. Its one term is the network's name."""

    def __init__(self, name: str, layers: Sequence[Layer]) -> None:
        self.name = name
        self._layers = tuple(layers)

    @property
    def only_arch(self) -> Arch:
        return self.arch({"network": self.name})

    def start(self) -> bool:
        return False

    def decision(self, state: bool) -> Decision | None:
        return None if state else Decision("network", (self.name,))

    def advance(self, state: bool, choice: Choice) -> bool:
        return True

    def decision_terms(self, state: bool, choice: Choice) -> tuple[Term, ...]:
        return (self.name,)

    def layers(self, term: Term, workload: Any) -> tuple[Layer, ...]:
        return self._layers

    def restricted(self, operators: Collection[str]) -> "FixedSpace":
        return self

    def all_multiplication(self, arch: Arch) -> Arch:
        return arch

    def all_cheap(self, arch: Arch) -> Arch:
        return arch

    def describe(self, arch: Arch) -> str:
        return self.name
