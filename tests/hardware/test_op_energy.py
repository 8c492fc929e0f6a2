from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
import pytest
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from shiftaddnas.errors import UserError
from shiftaddnas.hardware import Arithmetic, Layer, OpEnergy
from shiftaddnas.hardware.op_energy import Counting
from shiftaddnas.testing.hardware import check_hardware_cost
from shiftaddnas.testing.tiny_space import TinySpace

CONF = Path(__file__).parents[2] / "conf" / "hardware"
# ShiftAddNet (NeurIPS 2020), Table 1, in pJ: mult, add, shift. FP32 has no shift of its own.
TABLE = {
    "asic45nm": (3.7, 0.9, 0.13),
    "asic45nm_fix32": (3.1, 0.1, 0.13),
    "asic45nm_fix8": (0.2, 0.03, 0.024),
    "fpga_zc706": (18.8, 0.4, 0.1),
    "fpga_zc706_fix32": (19.6, 0.1, 0.1),
    "fpga_zc706_fix8": (0.2, 0.1, 0.025),
}
SETTINGS: dict[str, Any] = {
    "name": "asic",
    "energies_pj": {"mult": 3.7, "add": 0.9, "shift": 0.13},
    "lanes": {"mult": 168, "add": 168, "shift": 168},
    "clock_mhz": 250,
}
# 32 maps of 8x8, each from 16 maps by 3x3 kernels: 32 * 16 * 9 * 64 = 294,912 taps
CONV = Layer("a", "block", "conv2d", "mult", N=1, C=16, M=32, H=8, W=8, E=8, F=8, R=3, S=3, padding=1, num_params=4672)


@pytest.mark.parametrize(
    ("counting", "arithmetic", "energy_pj", "mults", "adds", "shifts"),
    [
        ("full", "mult", 1_356_595.2, 294_912, 294_912, 0),
        ("full", "add", 530_841.6, 0, 589_824, 0),
        ("full", "shift", 303_759.36, 0, 294_912, 294_912),
        ("released", "mult", 1_091_174.4, 294_912, 0, 0),
        ("released", "add", 265_420.8, 0, 294_912, 0),
        ("released", "shift", 38_338.56, 0, 0, 294_912),
    ],
)
def test_a_convolution_by_hand(
    counting: Counting, arithmetic: Arithmetic, energy_pj: float, mults: int, adds: int, shifts: int
) -> None:
    cost = OpEnergy(**SETTINGS, counting=counting).estimate([replace(CONV, arithmetic=arithmetic)])
    # 168 of the most frequent kind in a cycle of 4 ns
    latency_ms = max(mults, adds, shifts) / 168 * 4e-6
    assert cost.values == pytest.approx(
        {
            "energy_mj": energy_pj * 1e-9,
            "latency_ms": latency_ms,
            "num_params": 4672,
            "num_macs": 294_912,
            "num_mults": mults,
            "num_adds": adds,
            "num_shifts": shifts,
        },
        rel=1e-12,
    )


@pytest.mark.parametrize(
    ("layer", "taps"),
    [
        (replace(CONV, C=32, groups=32, E=4, F=4, stride=2), 32 * 9 * 16),
        (replace(CONV, C=32, groups=4, R=1, S=1, padding=0), 32 * 8 * 64),
        (replace(CONV, N=5), 5 * 294_912),
        (Layer("b", "ffn", "linear", "mult", N=30, C=512, M=1000), 15_360_000),
        (Layer("c", "scores", "matmul", "mult", N=30, C=64, M=20, second_operand="activation", repeat=8), 307_200),
    ],
)
def test_the_taps_of_other_layers_by_hand(layer: Layer, taps: int) -> None:
    values = OpEnergy(**SETTINGS).estimate([layer]).values
    assert values["num_macs"] == values["num_mults"] == values["num_adds"] == taps
    assert values["energy_mj"] == pytest.approx(taps * 4.6e-9, rel=1e-12)


def test_the_slowest_kind_sets_the_pace_and_layers_follow_one_another() -> None:
    lanes = {"mult": 1000, "add": 10, "shift": 1}
    model = OpEnergy("", SETTINGS["energies_pj"], lanes=lanes, clock_mhz=1)
    times = [294_912 / 10, 2 * 294_912 / 10, 294_912]  # microseconds
    layers = [replace(CONV, arithmetic=kind) for kind in ("mult", "add", "shift")]
    assert model.estimate(layers).values["latency_ms"] == pytest.approx(sum(times) / 1000, rel=1e-12)


@pytest.mark.parametrize("preset", TABLE)
def test_presets_hold_the_published_energies(preset: str) -> None:
    model = hydra.utils.instantiate(OmegaConf.load(CONF / f"{preset}.yaml"))
    assert model.name == preset
    assert tuple(model.energies_pj[kind] for kind in ("mult", "add", "shift")) == TABLE[preset]
    assert len(set(model.lanes.values())) == 1
    assert (model.clock_mhz, model.counting) == (250, "full")
    assert "ShiftAddNet (NeurIPS 2020), Table 1" in model.source
    check_hardware_cost(model, TinySpace(), 8)


@given(st.integers(1, 64), st.integers(1, 64), st.sampled_from(["mult", "add", "shift"]))
def test_costs_grow_with_the_width(width: int, more: int, kind: Arithmetic) -> None:
    model = OpEnergy(**SETTINGS)
    narrow, wide = (model.estimate([replace(CONV, M=M, arithmetic=kind)]).values for M in (width, width + more))
    assert narrow["energy_mj"] < wide["energy_mj"]
    assert narrow["latency_ms"] < wide["latency_ms"]


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("energies_pj", {"mult": 3.7, "add": 0.9}, "energies_pj has .* give a number for each of mult, add, shift"),
        ("energies_pj", {"mult": 3.7, "add": 0.9, "shift": -1}, r"energies_pj\.shift=-1 "),
        ("lanes", {"mult": 1, "add": 0, "shift": 1}, r"lanes\.add=0 "),
        ("lanes", {"mult": 1, "add": 1, "shift": 1, "xor": 1}, "lanes has"),
        ("clock_mhz", float("nan"), "clock_mhz=nan"),
        ("counting", "half", "counting=half is unknown; allowed: full, released"),
    ],
)
def test_wrong_settings_are_refused(setting: str, value: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        OpEnergy(**{**SETTINGS, setting: value})
