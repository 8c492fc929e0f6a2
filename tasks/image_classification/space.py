"""The multi-resolution space of hybrid image networks (ShiftAddNAS, ICML 2022; the fabric is BossNAS's HyTra).

A network is a stem, a row of choice layers and a linear head. Each layer works at one level (map size and width); a
path starts at the finest level and goes down by at most one level a layer. The first decision is how many layers each
level gets, then every layer chooses its operator among those of its level. Shapes follow from the choices alone.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from shiftaddnas.errors import UserError
from shiftaddnas.hardware.layer import Layer
from shiftaddnas.spaces import Arch, Choice, Decision, Space, Term
from tasks.image_classification.layers import (
    OPERATORS,
    PEG_WITH_BIAS,
    BlockTerm,
    Entry,
    EntryTerm,
    HeadTerm,
    ImageWorkload,
    Level,
    OperatorSettings,
    Shapes,
    Stem,
    StemTerm,
)
from tasks.image_classification.notation import notations, read_notation
from tasks.image_classification.retraining import retrained_layers

LETTERS = {"attention": "T", "conv": "C", "add": "A", "shift": "S"}


class Position(NamedTuple):
    """Where the walk stands: the number of layers of each level (None before that choice), and the next layer."""

    depths: tuple[int, ...] | None
    layer: int


@dataclass(frozen=True)
class Step:
    """What one choice layer does on a path: its level (0 is the finest), how it is entered, and its operator."""

    level: int
    entry: Entry
    operator: str


class HybridSpace(Space[Position, ImageWorkload]):
    """Hybrid networks over a fabric of levels.

    Args:
        name: how tables and messages call the space.
        stem: the first convolution.
        levels: finest first; each halves the map of the one before.
        num_layers: choice layers of every network.
        depths: the legal numbers of layers per level, finest first; each sums to `num_layers`.
        bottleneck: a block's inner width is its level's width divided by this.
        head_dim: channels of one attention head.
        shift_form: how shift layers keep their weights: "q" rounds a weight to a power of two, "ps" keeps exponent
            and sign (DeepShift).
        peg_bias: the operators whose depthwise positional kernels have a bias.
        operators: how the operators compute, where the released code differs.
        build: whether a supernet has what some arch can reach, or every operator at every level of every layer, the
            levels' idle ones too, as the released supernets do.
        profile: whether archs are priced as in the supernet, or as they are retrained (see retraining.py).

    Raises:
        UserError: the values contradict each other.
    """

    def __init__(
        self,
        name: str,
        stem: Stem,
        levels: Sequence[Level],
        num_layers: int,
        depths: Sequence[Sequence[int]],
        *,
        bottleneck: int = 4,
        head_dim: int = 64,
        shift_form: Literal["q", "ps"] = "q",
        peg_bias: Collection[str] = PEG_WITH_BIAS,
        operators: OperatorSettings = OperatorSettings(),  # noqa: B008 (immutable)
        build: Literal["reachable", "all"] = "reachable",
        profile: Literal["supernet", "retrain"] = "supernet",
    ) -> None:
        super().__init__()
        self.name = name
        self.shapes = Shapes(stem, tuple(levels), bottleneck, head_dim, shift_form, tuple(peg_bias))
        self.operators = operators
        self.build = build
        self.profile = profile
        self.num_layers = num_layers
        self.depths = tuple(tuple(vector) for vector in depths)
        self._check()

    @property
    def levels(self) -> tuple[Level, ...]:
        return self.shapes.levels

    def _check(self) -> None:
        if not self.levels:
            raise UserError("space.levels is empty; give at least one")
        if not self.depths:
            raise UserError("space.depths is empty; give at least one list with the number of layers of each level")
        for vector in self.depths:
            if len(vector) != len(self.levels) or sum(vector) != self.num_layers or min(vector) < 1:
                raise UserError(
                    f"space.depths holds {list(vector)}; allowed are {len(self.levels)} numbers of at least 1 "
                    f"(one for each level) that sum to space.num_layers={self.num_layers}"
                )
        if twice := {vector for vector in self.depths if self.depths.count(vector) > 1}:
            raise UserError(f"space.depths holds {list(min(twice))} more than once; give each list once")
        for number, level in enumerate(self.levels):
            _check_operators(f"levels[{number}].operators", level.operators)
            if not level.operators:
                raise UserError(
                    f"space.levels[{number}].operators is empty; give at least one of {', '.join(OPERATORS)}"
                )
            _check_operators(f"levels[{number}].idle", level.idle)
            if both := set(level.idle) & set(level.operators):
                raise UserError(
                    f"space.levels[{number}].idle={list(level.idle)}: {', '.join(sorted(both))} is among its operators"
                )
        _check_operators("peg_bias", self.shapes.peg_bias)
        self.shapes.check()

    # The decision graph

    def start(self) -> Position:
        return Position(None, 0)

    def decision(self, state: Position) -> Decision | None:
        if state.depths is None:
            return Decision("depths", self.depths, mutable=False)
        if state.layer == self.num_layers:
            return None
        level = self.levels[level_of(state.depths, state.layer)]
        return Decision(f"layer_{state.layer}", tuple(level.operators))

    def advance(self, state: Position, choice: Choice) -> Position:
        if state.depths is None:
            assert isinstance(choice, tuple)
            return Position(choice, 0)
        return Position(state.depths, state.layer + 1)

    def decision_terms(self, state: Position, choice: Choice) -> tuple[Term, ...]:
        if state.depths is None:
            return StemTerm(), EntryTerm(), HeadTerm()
        assert isinstance(choice, str)
        return (BlockTerm(choice, level_of(state.depths, state.layer), entry_of(state.depths, state.layer)),)

    def layers(self, term: Term, workload: ImageWorkload) -> tuple[Layer, ...]:
        return (
            retrained_layers(self.shapes, term, workload)
            if self.profile == "retrain"
            else self.shapes.layers(term, workload)
        )

    def restricted(self, operators: Collection[str]) -> "HybridSpace":
        levels = [
            replace(level, operators=tuple(name for name in level.operators if name in operators))
            if set(operators) & set(level.operators)
            else level
            for level in self.levels
        ]
        return HybridSpace(
            self.name,
            self.shapes.stem,
            levels,
            self.num_layers,
            self.depths,
            bottleneck=self.shapes.bottleneck,
            head_dim=self.shapes.head_dim,
            shift_form=self.shapes.shift_form,
            peg_bias=self.shapes.peg_bias,
            operators=self.operators,
            build=self.build,
            profile=self.profile,
        )

    def crossover(self, first: Arch, second: Arch, rng: np.random.Generator) -> Arch | None:
        """The paper's crossover: everywhere the coarser of the parents' levels, or everywhere the finer.

        Where the parents stand at the same level the operator comes from either, else from the one whose level was
        taken. None where the child's number of layers per level is not legal.
        """
        parents = self.steps(first), self.steps(second)
        coarser = bool(rng.integers(2))
        steps = []
        for pair in zip(*parents, strict=True):
            levels = [step.level for step in pair]
            level = max(levels) if coarser else min(levels)
            candidates = [step for step in pair if step.level == level]
            steps.append(candidates[rng.integers(len(candidates))])
        depths = tuple(sum(step.level == level for step in steps) for level in range(len(self.levels)))
        if depths not in self.depths:
            return None
        operators = [(f"layer_{layer}", step.operator) for layer, step in enumerate(steps)]
        return Arch((("depths", depths), *operators))

    def read_notation(self, text: str) -> Arch | None:
        return read_notation(text, self)

    def notations(self, arch: Arch) -> tuple[str, ...]:
        return notations(arch, self)

    # What the fabric reads

    def steps(self, arch: Arch) -> tuple[Step, ...]:
        """The path of an arch through the fabric, one step a choice layer."""
        (_, depths), *layers = arch.decisions
        assert isinstance(depths, tuple)
        return tuple(
            Step(level_of(depths, layer), entry_of(depths, layer), str(operator))
            for layer, (_, operator) in enumerate(layers)
        )

    def reachable(self) -> tuple[frozenset[Step], ...]:
        """For each choice layer, every step that some arch of the space takes there."""
        return tuple(
            frozenset(
                Step(level_of(depths, layer), entry_of(depths, layer), operator)
                for depths in self.depths
                for operator in self.levels[level_of(depths, layer)].operators
            )
            for layer in range(self.num_layers)
        )

    def built(self) -> tuple[frozenset[Step], ...]:
        """For each choice layer, every step that a supernet has modules for: what `build` says."""
        if self.build == "reachable":
            return self.reachable()

        def everything(entry: Entry) -> frozenset[Step]:
            entries: tuple[Entry, Entry] = (entry, "down")
            return frozenset(
                Step(number, entered, operator)
                for number, level in enumerate(self.levels)
                for entered in (entries if number else entries[:1])
                for operator in (*level.operators, *level.idle)
            )

        return everything("first"), *(everything("same") for _ in range(self.num_layers - 1))

    def all_multiplication(self, arch: Arch) -> Arch:
        return self._prefer(arch, ("conv", "attention"))

    def all_cheap(self, arch: Arch) -> Arch:
        return self._prefer(arch, ("shift", "add", "conv"))

    def _prefer(self, arch: Arch, operators: Sequence[str]) -> Arch:
        choices: dict[str, Choice] = {"depths": arch["depths"]}
        for layer, step in enumerate(self.steps(arch)):
            allowed = self.levels[step.level].operators
            choices[f"layer_{layer}"] = next((name for name in operators if name in allowed), allowed[0])
        return self.arch(choices)

    def describe(self, arch: Arch) -> str:
        """A group of letters a level, finest first: C convolution, T attention, S shift, A add."""
        steps = self.steps(arch)
        return " ".join(
            "".join(LETTERS[step.operator] for step in steps if step.level == level)
            for level in range(len(self.levels))
        )


def _check_operators(setting: str, names: Collection[str]) -> None:
    if set(names) - set(OPERATORS) or len(set(names)) < len(names):
        raise UserError(f"space.{setting}={list(names)}; allowed are different names of {', '.join(OPERATORS)}")


def level_of(depths: tuple[int, ...], layer: int) -> int:
    """The level at which a choice layer works when the levels have these numbers of layers."""
    for level, count in enumerate(depths):
        if layer < count:
            return level
        layer -= count
    raise AssertionError(f"no layer {layer} beyond {depths}")


def entry_of(depths: tuple[int, ...], layer: int) -> Entry:
    """How a choice layer is entered: as the first one, from its own level, or down from the next finer one."""
    if layer == 0:
        return "first"
    return "same" if level_of(depths, layer) == level_of(depths, layer - 1) else "down"
