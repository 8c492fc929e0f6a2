"""A layer that is computed in steps costs what so many layers with the same weights do, and takes up what one does."""

from dataclasses import asdict, replace

import pytest
from accelerator_presets import accelerator

from composed import built
from shiftaddnas.hardware import Layer, ModelSize, PeakMemory
from shiftaddnas.latency import layer_call
from shiftaddnas.report.cost_breakdown import computation

LINEAR = Layer("a", "ffn", "linear", "mult", N=4, C=48, M=96, num_params=96)
PRODUCT = Layer("b", "attention", "matmul", "mult", N=1, C=16, M=31, second_operand="activation", repeat=8)
LAYERS = [LINEAR, replace(LINEAR, arithmetic="shift"), PRODUCT]


@pytest.mark.parametrize("layer", LAYERS)
def test_energy_and_time_of_the_accelerator(layer: Layer) -> None:
    model = accelerator("eyeriss_fair")
    one, three = (asdict(model.analyse(replace(layer, steps=steps))) for steps in (1, 3))
    assert one.pop("tiling") == three.pop("tiling")
    assert three == pytest.approx({name: 3 * value for name, value in one.items()}, rel=1e-12)


@pytest.mark.parametrize("layer", LAYERS)
def test_operations_multiply_and_parameters_do_not(layer: Layer) -> None:
    model = built("hardware", "hardware=asic45nm")
    one, three = (model.price(replace(layer, steps=steps)) for steps in (1, 3))
    params = one.pop("num_params")
    assert three.pop("num_params") == params
    assert three == pytest.approx({name: 3 * value for name, value in one.items()}, rel=1e-12)


@pytest.mark.parametrize("layer", LAYERS)
def test_memory_is_that_of_one_step(layer: Layer) -> None:
    size = ModelSize("size", {"mult": 32, "add": 32, "shift": 5})
    peak = PeakMemory("peak", 32)
    stepwise = replace(layer, steps=7)
    assert size.price(stepwise) == size.price(layer)
    assert peak.bytes_of(stepwise) == peak.bytes_of(layer)


@pytest.mark.parametrize("layer", LAYERS)
def test_steps_are_timed_one_after_another(layer: Layer, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr("shiftaddnas.latency.layers._stepwise", lambda call, steps: calls.append(steps) or call)
    layer_call(replace(layer, steps=5))
    layer_call(layer)
    assert calls == [5]
    monkeypatch.undo()
    assert layer_call(replace(layer, steps=5))().shape == layer_call(layer)().shape


def test_steps_in_a_breakdown() -> None:
    assert computation(replace(LINEAR, steps=30)) == "48 > 96, 4 rows, 30 steps"
    assert computation(replace(PRODUCT, steps=15)) == "8 x (1x16 by 16x31), 15 steps"
    assert computation(PRODUCT) == "8 x (1x16 by 16x31)"
