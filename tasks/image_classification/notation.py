"""The two ways in which the released ShiftAddNAS code writes an image arch, read and written.

By stages: a list of digits a level, finest first, as in `[1,1],[1,3,1,1],[3,1,0,3,3],[0,0,1,0,0]`: 0 attention,
1 convolution, 2 add, 3 shift. By indices: one number a layer, as in `11 11 8 10 8 8 7 5 4 7 7 0 0 1 0 0`, which counts
the operators of all four levels through, coarsest first.
"""

import re
from typing import TYPE_CHECKING

from shiftaddnas.errors import UserError
from shiftaddnas.spaces import Arch, Choice

if TYPE_CHECKING:  # the space reads archs by this module
    from tasks.image_classification.space import HybridSpace

DIGITS = ("attention", "conv", "add", "shift")
LEVELS = (("conv", "add", "shift"), ("conv", "add", "shift"), DIGITS, DIGITS)
"""The operators that have an index, of each level, finest first."""
FIRST_INDICES = (11, 8, 4, 0)


def read_notation(text: str, space: "HybridSpace") -> Arch | None:
    """The arch of a space that the text stands for; None where it is in neither notation.

    Raises:
        UserError: the text is in one of the notations, but no arch of the space.
    """
    if not re.fullmatch(r"[\[\]\d\s,]*\d[\[\]\d\s,]*", text):
        return None
    levels = _by_stages(text, len(space.levels)) if "[" in text.strip().strip("[]") else _by_indices(text, space)
    depths = tuple(map(len, levels))
    choices: dict[str, Choice] = {"depths": depths}
    choices |= {f"layer_{number}": name for number, name in enumerate(name for level in levels for name in level)}
    return space.arch(choices)


def notations(arch: Arch, space: "HybridSpace") -> tuple[str, ...]:
    """The arch by stages and, where the space has the four levels and the arch only operators with an index, by
    indices.
    """
    try:
        return by_stages(arch, space), by_indices(arch, space)
    except UserError:
        return (by_stages(arch, space),)


def by_stages(arch: Arch, space: "HybridSpace") -> str:
    """The arch in the released notation by stages."""
    steps = space.steps(arch)
    levels = (
        [DIGITS.index(step.operator) for step in steps if step.level == level] for level in range(len(space.levels))
    )
    return ",".join(f"[{','.join(map(str, level))}]" for level in levels)


def by_indices(arch: Arch, space: "HybridSpace") -> str:
    """The arch in the released notation by indices.

    Raises:
        UserError: the space has not four levels, or the arch an operator that has no index there.
    """
    _check_levels(space)
    indices = []
    for number, step in enumerate(space.steps(arch)):
        if step.operator not in LEVELS[step.level]:
            raise UserError(f"layer_{number} is {step.operator}, which has no index at level {step.level}")
        indices.append(FIRST_INDICES[step.level] + LEVELS[step.level].index(step.operator))
    return " ".join(map(str, indices))


def _by_stages(text: str, num_levels: int) -> list[list[str]]:
    if not re.fullmatch(r"[\s,]*\[?([\s,]*\[[\d\s,]*\])+[\s,]*\]?[\s,]*", text):
        raise UserError(f"{text} has something between or behind its stages; write them as [1,1],[3,2],[0,1]")
    stages = re.findall(r"\[([\d\s,]*)\]", text)
    if len(stages) != num_levels:
        raise UserError(f"it has {len(stages)} stages, the space {num_levels} levels")
    levels = [[int(digit) for digit in re.findall(r"\d+", stage)] for stage in stages]
    wrong = [digit for level in levels for digit in level if digit >= len(DIGITS)]
    if wrong:
        meanings = ", ".join(f"{digit} {name}" for digit, name in enumerate(DIGITS))
        raise UserError(f"{wrong[0]} stands for no operator; there are {meanings}")
    return [[DIGITS[digit] for digit in level] for level in levels]


def _by_indices(text: str, space: "HybridSpace") -> list[list[str]]:
    _check_levels(space)
    if not re.fullmatch(r"\s*\[?[\d\s,]*\]?\s*", text):
        raise UserError(f"{text} has brackets between its indices; write them as 11 8 4 4 0")
    levels: list[list[str]] = [[] for _ in LEVELS]
    reached = 0
    for index in map(int, re.findall(r"\d+", text)):
        level = next((level for level, first in enumerate(FIRST_INDICES) if index >= first), 0)
        if index - FIRST_INDICES[level] >= len(LEVELS[level]):
            raise UserError(f"{index} stands for no operator; indices go from 0 to 13")
        if level < reached:
            raise UserError(f"it goes from level {reached} up to level {level} at {index}; a path only goes down")
        reached = level
        levels[level].append(LEVELS[level][index - FIRST_INDICES[level]])
    return levels


def _check_levels(space: "HybridSpace") -> None:
    if len(space.levels) != len(LEVELS):
        raise UserError(
            f"the notation by indices is of spaces with {len(LEVELS)} levels; {space.name} has {len(space.levels)}: "
            "write it by stages, as [1,1],[3,2],[0,1]"
        )
