from dataclasses import replace
from typing import Any

import pytest

from composed import built
from shiftaddnas.errors import UserError
from shiftaddnas.hardware import CostByBits, CostError, Layer, LayerModel, OpEnergy, PeakMemory
from shiftaddnas.testing.hardware import check_hardware_cost
from shiftaddnas.testing.tiny_space import TinySpace

LANES = {"mult": 8, "add": 8, "shift": 8}
FP32 = OpEnergy("fp32", {"mult": 3.7, "add": 0.9, "shift": 0.13}, lanes=LANES, clock_mhz=250)
FIX8 = OpEnergy("fix8", {"mult": 0.2, "add": 0.03, "shift": 0.024}, lanes=LANES, clock_mhz=250)
MIXED = CostByBits("mixed", {"full": FP32, "fix8": FIX8}, {"full": 32, "fix8": 8})
LINEAR = Layer("fc", "ffn", "linear", "mult", N=10, C=20, M=30, num_params=600)


def energy(cost: LayerModel, layer: Layer) -> float:
    return cost.estimate([layer]).values["energy_mj"]


# 6,000 taps of one multiplication and one addition each.
@pytest.mark.parametrize(
    ("act_bits", "weight_bits", "pj"),
    [(32, 32, 4.6), (8, 8, 0.23), (4, 8, 0.23), (8, 5, 0.23), (9, 8, 4.6), (8, 32, 4.6), (16, 16, 4.6)],
)
def test_a_layer_costs_what_the_narrowest_rules_that_hold_it_say(act_bits: int, weight_bits: int, pj: float) -> None:
    layer = replace(LINEAR, act_bits=act_bits, weight_bits=weight_bits)
    assert energy(MIXED, layer) == pytest.approx(6_000 * pj * 1e-9, rel=1e-12)


def test_it_is_a_hardware_cost() -> None:
    check_hardware_cost(MIXED, TinySpace(), 8)


def test_bits_beyond_the_widest_rules_have_no_price() -> None:
    narrow = CostByBits("narrow", {"fix8": FIX8}, {"fix8": 8})
    with pytest.raises(CostError, match=r"narrow failed on layer fc .*it has 32 bits, the widest rules are for 8"):
        narrow.estimate([LINEAR])


@pytest.mark.parametrize(
    ("models", "bits", "message"),
    [
        ({}, {}, "hardware.bits names"),
        ({"full": FP32}, {"fix8": 8}, "hardware.bits names fix8, but hardware.models full"),
        ({"full": FP32, "fix8": FIX8}, {"full": 8, "fix8": 8}, "give each model a different number of bits"),
        ({"full": FP32}, {"full": 0}, "at least 1"),
        ({"memory": PeakMemory("peak", 32)}, {"memory": 32}, "hardware.models.memory does not price layers one by one"),
    ],
)
def test_models_and_bits_that_do_not_fit_together_are_refused(
    models: dict[str, Any], bits: dict[str, int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        CostByBits("mixed", models, bits)


def test_models_of_different_metrics_are_refused() -> None:
    accelerator = built("hardware", "hardware=eyeriss_fair_8bit")
    with pytest.raises(UserError, match="differ in their metrics"):
        CostByBits("mixed", {"full": FP32, "fix8": accelerator}, {"full": 32, "fix8": 8})


def test_the_preset_prices_layers_by_the_two_accelerators() -> None:
    mixed = built("hardware", "hardware=eyeriss_fair_by_bits")
    narrow = replace(LINEAR, act_bits=8, weight_bits=8)
    full, fix8 = (built("hardware", f"hardware={name}") for name in ("eyeriss_fair", "eyeriss_fair_8bit"))
    assert energy(mixed, LINEAR) == energy(full, LINEAR)
    assert energy(mixed, narrow) == energy(fix8, LINEAR) < energy(full, LINEAR) / 4
