"""A space small enough to enumerate, to check searchers and cost models on, and as an example of a space."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

from shiftaddnas.hardware import Arithmetic, Layer
from shiftaddnas.spaces import Arch, Choice, Decision, Space, Term

Widths = tuple[int, ...]
Stage = Literal["widths", "op", "head", "end"]

ARITHMETIC: dict[Choice, Arithmetic] = {"conv": "mult", "add": "add", "shift": "shift", "linear": "mult"}


@dataclass(frozen=True)
class TinyState:
    """What the next decision depends on: the widths of the network, how many are built, and the last operator."""

    stage: Stage
    widths: Widths = ()
    num_built: int = 0
    last: Choice = ""


@dataclass(frozen=True)
class TinyTerm:
    """A block (a depthwise 3x3 and a 1x1 layer) or the head (a linear layer to ten classes)."""

    part: Literal["block", "head"]
    arithmetic: Arithmetic
    in_channels: int
    out_channels: int


class TinySpace(Space[TinyState, int]):
    """Chains of blocks: first the widths, then an operator for each block, then a head. The workload is the image side.

    The first block cannot add, and after an adding block the head multiplies: later options depend on earlier choices.
    """

    name = "tiny"

    def __init__(
        self,
        widths: tuple[Widths, ...] = ((8,), (8, 16), (8, 8, 16)),
        operators: Collection[str] = ("conv", "add", "shift", "linear"),
    ) -> None:
        super().__init__()
        self.widths = widths
        self.operators = tuple(operators)

    def start(self) -> TinyState:
        return TinyState("widths")

    def decision(self, state: TinyState) -> Decision | None:
        if state.stage == "widths":
            return Decision("widths", self.widths, mutable=False)
        if state.stage == "op":
            options = ("conv", "add", "shift") if state.num_built else ("conv", "shift")
            return Decision(f"op{state.num_built}", self._allowed(options))
        if state.stage == "head":
            return Decision("head", self._allowed(("linear",) if state.last == "add" else ("linear", "shift")))
        return None

    def advance(self, state: TinyState, choice: Choice) -> TinyState:
        if state.stage == "widths":
            assert isinstance(choice, tuple)
            return TinyState("op", choice)
        if state.stage == "op":
            num_built = state.num_built + 1
            return TinyState("op" if num_built < len(state.widths) else "head", state.widths, num_built, choice)
        return TinyState("end")

    def decision_terms(self, state: TinyState, choice: Choice) -> tuple[TinyTerm, ...]:
        if state.stage == "widths":
            return ()
        in_channels = state.widths[state.num_built - 1] if state.num_built else 3
        if state.stage == "head":
            return (TinyTerm("head", ARITHMETIC[choice], in_channels, 10),)
        return (TinyTerm("block", ARITHMETIC[choice], in_channels, state.widths[state.num_built]),)

    def layers(self, term: Term, workload: int) -> tuple[Layer, ...]:
        assert isinstance(term, TinyTerm)
        kind, C, M, side = term.arithmetic, term.in_channels, term.out_channels, workload
        if term.part == "head":
            return (Layer("head", "head", "linear", kind, N=1, C=C, M=M, num_params=C * M + M),)
        pointwise = Layer("pointwise", "block", "conv2d", kind, N=1, C=C, M=M, H=side, W=side, E=side, F=side)
        depthwise = replace(pointwise, name="depthwise", M=C, R=3, S=3, padding=1, groups=C, num_params=9 * C)
        return depthwise, replace(pointwise, num_params=C * M + 2 * M)

    def restricted(self, operators: Collection[str]) -> "TinySpace":
        return TinySpace(self.widths, operators)

    def all_multiplication(self, arch: Arch) -> Arch:
        return self._prefer(arch, ("conv", "linear"))

    def all_cheap(self, arch: Arch) -> Arch:
        return self._prefer(arch, ("shift", "add"))

    def describe(self, arch: Arch) -> str:
        return " ".join(str(choice) for name, choice in arch.decisions if name != "widths")

    def _allowed(self, options: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(option for option in options if option in self.operators) or options

    def _prefer(self, arch: Arch, operators: tuple[str, ...]) -> Arch:
        decisions = [("widths", arch["widths"])]
        state = self.advance(self.start(), arch["widths"])
        while (decision := self.decision(state)) is not None:
            choice = next((name for name in operators if name in decision.options), decision.options[0])
            decisions.append((decision.name, choice))
            state = self.advance(state, choice)
        return Arch(tuple(decisions))
