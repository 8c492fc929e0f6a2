"""The data behind the drawing of an arch: its blocks in order, with sizes, widths and shares of the cost."""

from typing import Any

import pytest

from composed import built
from shiftaddnas.hardware import BoundCost, Cost, Metric, Values
from shiftaddnas.report import palette
from shiftaddnas.report.arch_blocks import TAPS, plan
from shiftaddnas.spaces import Arch
from shiftaddnas.testing.tiny_space import TinySpace
from tasks.image_classification import HybridSpace
from tasks.image_classification.layers import ImageWorkload

DIGITS = ImageWorkload(image_size=8, in_channels=1, num_classes=10)
IMAGENET = ImageWorkload(image_size=224, in_channels=3, num_classes=1000)


class Constant(BoundCost):
    """A model of whole archs, as latency predictors are: it knows no layers."""

    def __init__(self) -> None:
        super().__init__("constant", (Metric("latency_ms", "ms"),))

    def estimate(self, arch: Arch) -> Cost:
        return Cost(Values({"latency_ms": 1.0}))


def bound(space: Any, workload: Any) -> BoundCost:
    cost: BoundCost = built("hardware", "hardware=asic45nm").bind(space, workload)
    return cost


def test_the_blocks_of_a_hybrid_network(digits_space: HybridSpace) -> None:
    arch = digits_space.read_notation("[3],[2],[3,0,0,1]")
    assert arch is not None
    drawn = plan(digits_space, arch, DIGITS, bound(digits_space, DIGITS))
    assert [(block.name, block.size, block.channels) for block in drawn.blocks] == [
        ("stem", "8x8", (1, 16)),
        ("entry", "8x8", (16, 8)),
        ("shift", "8x8", (8, 32)),
        ("add", "4x4", (32, 64)),
        ("shift", "2x2", (64, 128)),
        ("attention", "2x2", (128, 128)),
        ("attention", "2x2", (128, 128)),
        ("conv", "2x2", (128, 128)),
        ("head", "", (128, 10)),
    ]
    assert [block.chosen for block in drawn.blocks] == [False, False, *[True] * 6, False]
    assert [block.arithmetic for block in drawn.blocks[2:6]] == ["shift", "add", "shift", "mult"]
    assert drawn.sizes == ["8x8", "4x4", "2x2"]


def test_shares_are_of_the_whole_cost(digits_space: HybridSpace) -> None:
    arch = digits_space.read_notation("[3],[2],[3,0,0,1]")
    assert arch is not None
    cost = bound(digits_space, DIGITS)
    drawn = plan(digits_space, arch, DIGITS, cost)
    assert drawn.metric == "energy_mj"
    assert sum(block.cost for block in drawn.blocks) == pytest.approx(cost(arch).values["energy_mj"])
    stem = cost.breakdown(arch).layers[0][1]["energy_mj"]
    assert drawn.share(drawn.blocks[0]) == pytest.approx(100 * stem / cost(arch).values["energy_mj"])
    # The head is priced before the blocks, and drawn behind them.
    (head,) = (values for layer, values in cost.breakdown(arch).layers if layer.role == "head")
    assert drawn.blocks[-1].cost == head["energy_mj"]
    assert sum(drawn.share(block) for block in drawn.blocks) == pytest.approx(100)


def test_without_prices_of_layers_shares_are_of_taps(digits_space: HybridSpace) -> None:
    arch = digits_space.read_notation("[1],[1],[1,1,1,1]")
    assert arch is not None
    drawn = plan(digits_space, arch, DIGITS, Constant())
    assert drawn.metric == TAPS
    assert drawn.blocks[0].cost == 8 * 8 * 16 * 9
    assert drawn.blocks[-1].cost == 128 * 10


def test_retrained_networks_end_their_blocks_with_a_map() -> None:
    space: HybridSpace = built("space", "space=hytra_hybrid", "space.profile=retrain")
    arch = space.read_notation("[1,1],[1,3,1,1],[3,1,0,3,3],[0,0,1,0,0]")
    assert arch is not None
    drawn = plan(space, arch, IMAGENET, Constant())
    assert drawn.sizes == ["112x112", "56x56", "28x28", "14x14", "7x7"]
    assert len(drawn.blocks) == 1 + 16 + 1  # the stem, no entry, and the head
    assert drawn.blocks[-2].channels == (2048, 2048)


def test_any_space_has_blocks() -> None:
    space = TinySpace()
    arch = space.arch({"widths": (8, 16), "op0": "shift", "op1": "conv", "head": "linear"})
    drawn = plan(space, arch, 8, bound(space, 8))
    assert [(block.name, block.channels[1]) for block in drawn.blocks] == [("shift", 8), ("conv", 16), ("linear", 10)]


@pytest.mark.parametrize(
    ("operator", "family"),
    [
        ("conv", "conv"),
        ("lightweight_shiftadd", "shift"),
        ("self_attention+lightweight_add", "add"),
        ("self_attention+lightweight_conv", "conv"),
        ("self_attention", "attention"),
        ("pool", None),
    ],
)
def test_operators_have_the_colour_of_what_saves_most(operator: str, family: str | None) -> None:
    assert palette.operator_family(operator) == family
    expected = palette.OTHER_OPERATOR if family is None else palette.OPERATORS[family]
    assert palette.operator_color(operator) == expected
