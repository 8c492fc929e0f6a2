"""The package's own tests: what every hardware cost promises, and a value that was worked out by hand."""

import pytest
from traffic_cost import TrafficEnergy

from shiftaddnas.hardware import Layer
from shiftaddnas.testing.hardware import check_hardware_cost
from shiftaddnas.testing.tiny_space import TinySpace


def test_traffic_keeps_what_every_cost_promises() -> None:
    check_hardware_cost(TrafficEnergy("traffic"), TinySpace(), 8)


def test_a_linear_layer_moves_input_kernel_and_output() -> None:
    layer = Layer("head", "head", "linear", "mult", N=1, C=128, M=10)
    cost = TrafficEnergy("traffic", word_pj=20.0).price(layer)
    assert cost["num_words"] == 128 + 1280 + 10
    assert cost["energy_mj"] == pytest.approx((1280 * 4.6 + 1418 * 20) / 1e9)
