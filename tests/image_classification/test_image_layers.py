"""The image fabric against parameter counts of the released supernet's operator slots (method.md, "Fabric")."""

from typing import Any

import pytest
import torch
from torch import nn

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
# Of the first layer, with its shortcut from the entry projection.
FIRST_SLOTS = {
    0: {"conv": 19_392, "add": 19_360, "shift": 38_112},
    1: {"conv": 380_032, "add": 379_904, "shift": 758_016},
    2: {"conv": 1_513_728, "add": 1_513_472, "shift": 3_023_360, "attention": 1_415_424},
    3: {"conv": 6_042_112, "add": 6_041_600, "shift": 12_076_032, "attention": 5_648_896},
}
FIRST_KERNELS = {0: 18_432, 1: 376_832, 2: 1_507_328, 3: 6_029_312}
NORMS = {0: 384, 1: 1_408, 2: 2_816, 3: 5_632}
FIRST_NORMS = {0: 640, 1: 1_920, 2: 3_840, 3: 7_680}
KERNELS = {0: 17_408, 1: 372_736, 2: 1_490_944, 3: 5_963_776}


@pytest.fixture(scope="module")
def space() -> HybridSpace:
    found: HybridSpace = built("space", "space=hytra_hybrid", "space.shift_form=ps")
    return found


def entries(level: int, first: bool) -> tuple[Entry, ...]:
    plain: Entry = "first" if first else "same"
    return (plain,) if level == 0 else (plain, "down")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(("level", "operator"), [(level, name) for level, names in SLOTS.items() for name in names])
def test_slots_have_the_released_parameter_counts(space: HybridSpace, level: int, operator: str, first: bool) -> None:
    steps = [Step(level, entry, operator) for entry in entries(level, first)]
    operators: dict[str, Any] = {"conv": Conv(), "add": Add(), "shift": Shift(form="ps")}
    with torch.device("meta"):
        slot = Slot(space.shapes, level, steps, operators, Independent())
    expected = (FIRST_SLOTS if first else SLOTS)[level][operator]
    assert sum(parameter.numel() for parameter in slot.parameters()) == expected
    norms = [module for module in slot.modules() if isinstance(module, nn.BatchNorm2d)]
    if operator != "attention":
        assert sum(2 * norm.num_features for norm in norms) == (FIRST_NORMS if first else NORMS)[level]


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("level", KERNELS)
def test_shared_kernels_have_the_released_number_of_elements(space: HybridSpace, level: int, first: bool) -> None:
    shapes = space.shapes.kernels(level, frozenset(entries(level, first)))
    assert sum(f * c * r * s for f, c, r, s in shapes.values()) == (FIRST_KERNELS if first else KERNELS)[level]
