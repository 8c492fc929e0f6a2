"""The image fabric against parameter counts of the released supernet's operator slots (method.md, "Fabric")."""

from typing import Any

import pytest

from composed import built
from shiftaddnas.ops import Add, Conv, Shift
from shiftaddnas.sharing import Independent
from tasks.image_classification import HybridSpace
from tasks.image_classification.blocks import Slot
from tasks.image_classification.layers import Entry
from tasks.image_classification.space import Step

# level: parameters of one operator slot beyond the first layer, plain and down branch together; shift keeps exponents
# and signs. Counted in the released code.
SLOTS = {
    0: {"conv": 18_112, "add": 18_080, "shift": 35_808},
    1: {"conv": 375_424, "add": 375_296, "shift": 749_312},
    2: {"conv": 1_496_320, "add": 1_496_064, "shift": 2_989_568, "attention": 1_398_016},
    3: {"conv": 5_974_528, "add": 5_974_016, "shift": 11_942_912, "attention": 5_581_312},
}
KERNELS = {0: 17_408, 1: 372_736, 2: 1_490_944, 3: 5_963_776}


@pytest.fixture(scope="module")
def space() -> HybridSpace:
    found: HybridSpace = built("space", "space=hytra_hybrid", "space.shift_form=ps")
    return found


def entries(level: int) -> tuple[Entry, ...]:
    return ("same",) if level == 0 else ("same", "down")


@pytest.mark.parametrize(("level", "operator"), [(level, name) for level, names in SLOTS.items() for name in names])
def test_slots_have_the_released_parameter_counts(space: HybridSpace, level: int, operator: str) -> None:
    steps = [Step(level, entry, operator) for entry in entries(level)]
    operators: dict[str, Any] = {"conv": Conv(), "add": Add(), "shift": Shift(form="ps")}
    slot = Slot(space.shapes, level, steps, operators, Independent())
    assert sum(parameter.numel() for parameter in slot.parameters()) == SLOTS[level][operator]


@pytest.mark.parametrize("level", KERNELS)
def test_shared_kernels_have_the_released_number_of_elements(space: HybridSpace, level: int) -> None:
    shapes = space.shapes.kernels(level, frozenset(entries(level)))
    assert sum(f * c * r * s for f, c, r, s in shapes.values()) == KERNELS[level]
