import math
import re
from typing import Any

import numpy as np
import pytest

from composed import built
from shiftaddnas.errors import UserError
from shiftaddnas.hardware import (
    BoundCost,
    CompositeCost,
    Cost,
    CostError,
    HardwareCost,
    Layer,
    LayerModel,
    Metric,
    OpEnergy,
    PeakMemory,
    Values,
)
from shiftaddnas.spaces import Arch, Space
from shiftaddnas.testing.hardware import check_hardware_cost
from shiftaddnas.testing.tiny_space import TinySpace

SPACE = TinySpace()
ARCHS = list(SPACE.archs())
LANES = {"mult": 8, "add": 8, "shift": 8}
ASIC = OpEnergy("asic", {"mult": 3.7, "add": 0.9, "shift": 0.13}, lanes=LANES, clock_mhz=250)
FPGA = OpEnergy("fpga", {"mult": 18.8, "add": 0.4, "shift": 0.1}, lanes=LANES, clock_mhz=100)


class Area(LayerModel):
    name = "area"
    metrics = (Metric("area_mm2", "mm2"),)

    def price(self, layer: Layer) -> dict[str, float]:
        if layer.arithmetic == "add":
            raise RuntimeError("no adders here")
        return {"area_mm2": layer.M / 7}


class Guess(HardwareCost):
    """A cost of whole archs that fails on some."""

    name = "guess"
    metrics = (Metric("risk", "", additive=False),)

    def bind(self, space: Space[Any, Any], workload: Any) -> BoundCost:
        return BoundGuess(self.name, self.metrics)


class BoundGuess(BoundCost):
    def estimate(self, arch: Arch) -> Cost:
        return Cost(Values({"risk": math.inf if arch["head"] == "shift" else float(len(arch.decisions))}))


def names(cost: HardwareCost) -> list[str]:
    return [metric.name for metric in cost.metrics]


def test_it_keeps_what_every_cost_promises() -> None:
    check_hardware_cost(CompositeCost("one", {"asic": ASIC}), SPACE, 8)
    parts = {"asic": ASIC, "fpga": FPGA, "memory": PeakMemory("peak", 32)}
    check_hardware_cost(CompositeCost("three", parts, keep={"fpga": ["energy_mj"]}), SPACE, 8)


def test_what_two_parts_give_is_named_after_both() -> None:
    keep = {"asic": ["latency_ms", "energy_mj", "num_macs"], "fpga": ["energy_mj"]}
    cost = CompositeCost("both", {"asic": ASIC, "fpga": FPGA, "none": None}, keep=keep)
    assert names(cost) == ["latency_ms", "asic_energy_mj", "num_macs", "fpga_energy_mj"]
    assert [metric.unit for metric in cost.metrics] == ["ms", "mJ", "", "mJ"]
    bound, asic, fpga = (model.bind(SPACE, 8) for model in (cost, ASIC, FPGA))
    for arch in ARCHS:
        values = bound(arch).values
        assert values["asic_energy_mj"] == asic(arch).values["energy_mj"]
        assert values["fpga_energy_mj"] == fpga(arch).values["energy_mj"]
        assert values["latency_ms"] == asic(arch).values["latency_ms"]
        assert list(values) == names(cost)
    assert bound.extremes()["fpga_energy_mj"] == fpga.extremes()["energy_mj"]
    assert bound.by_term("fpga_energy_mj") == fpga.by_term("energy_mj")
    distribution, alone = bound.distribution("fpga_energy_mj"), fpga.distribution("energy_mj")
    assert distribution is not None
    assert alone is not None
    assert distribution.values.tolist() == alone.values.tolist()


def test_each_layer_has_the_values_of_the_parts_that_work_by_layers() -> None:
    parts = {"guess": Guess(), "asic": ASIC, "fpga": FPGA}
    bound = CompositeCost("all", parts, keep={"asic": ["energy_mj"], "fpga": ["energy_mj"]}).bind(SPACE, 8)
    arch = SPACE.arch({"widths": (8,), "op0": "shift", "head": "linear"})
    cost = bound.breakdown(arch)
    assert cost.values == bound(arch).values
    assert [layer for layer, _ in cost.layers] == list(SPACE.arch_layers(arch, 8))
    # The head has 80 taps; on both, one is a multiplication and an addition.
    values = cost.layers[-1][1]
    assert values == pytest.approx({"asic_energy_mj": 80 * 4.6e-9, "fpga_energy_mj": 80 * 19.2e-9})
    assert CompositeCost("guess", {"guess": Guess()}).bind(SPACE, 8).breakdown(arch).layers == ()


def test_a_part_that_fails_is_named_and_spoils_the_archs_it_fails_on() -> None:
    bound = CompositeCost("all", {"asic": ASIC, "area": Area(), "guess": Guess()}).bind(SPACE, 8)
    failing = [arch["head"] == "shift" or any(c == "add" for _, c in arch.decisions) for arch in ARCHS]
    rows = bound.batch(ARCHS)
    assert np.isnan(rows).all(axis=1).tolist() == np.isnan(rows).any(axis=1).tolist() == failing
    adds = SPACE.arch({"widths": (8, 16), "op0": "conv", "op1": "add", "head": "linear"})
    risky = SPACE.arch({"widths": (8,), "op0": "conv", "head": "shift"})
    for question in (bound, bound.breakdown):
        with pytest.raises(CostError, match=r"part area of hardware cost all: hardware cost area failed .* no adders"):
            question(adds)
        with pytest.raises(CostError, match="part guess of hardware cost all: hardware cost guess gives risk=inf"):
            question(risky)
    with pytest.raises(CostError, match="part area of"):
        bound.extremes()
    assert bound.distribution("energy_mj") is not None
    assert bound.distribution("risk") is None


@pytest.mark.parametrize(
    ("parts", "keep", "message"),
    [
        ({}, None, "hardware.parts is empty"),
        ({"asic": None}, None, "hardware.parts is empty"),
        ({"asic": ASIC}, {"fpga": ["energy_mj"]}, "hardware.keep.fpga is no part; parts: asic"),
        ({"area": Area()}, {"area": ["energy"]}, "hardware.keep.area has energy; metrics of that part: area_mm2"),
        ({"asic": ASIC}, {"asic": ["energy_mj", "energy_mj"]}, "hardware.parts=asic gives asic_energy_mj twice"),
        ({"area": Area()}, {"area": []}, "hardware.parts=area keeps no metric"),
    ],
)
def test_what_cannot_be_composed_is_refused(parts: Any, keep: Any, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        CompositeCost("x", parts, keep=keep)


def test_a_part_that_does_not_fit_the_space_is_named() -> None:
    class Picky(Guess):
        def bind(self, space: Space[Any, Any], workload: Any) -> BoundCost:
            raise UserError("hardware.path=x predicts another space")

    with pytest.raises(UserError, match=r"hardware.parts.guess: hardware.path=x predicts another space"):
        CompositeCost("x", {"asic": ASIC, "guess": Picky()}).bind(SPACE, 8)


def test_the_shipped_one_is_composed_of_other_configs() -> None:
    shipped = built("hardware", "hardware=composite")
    assert names(shipped) == [
        "energy_mj", "latency_ms", "num_params", "num_macs", "model_size_bytes", "peak_memory_bytes",
    ]  # fmt: skip
    other = built(
        "hardware",
        "hardware=composite",
        "hardware@hardware.parts.accelerator=asic45nm",
        "hardware.parts.memory=null",
        "hardware.keep.accelerator=[energy_mj]",
    )
    assert other.parts["accelerator"].name == "asic45nm"
    assert names(other) == ["energy_mj", "model_size_bytes"]
