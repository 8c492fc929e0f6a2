from dataclasses import replace

import pytest

from composed import built
from shiftaddnas.errors import UserError
from shiftaddnas.hardware import Layer, ModelSize, PeakMemory
from shiftaddnas.testing.hardware import check_hardware_cost
from shiftaddnas.testing.tiny_space import TinySpace

SPACE = TinySpace()
BITS = {"mult": 8, "add": 8, "shift": 5}
CONV = Layer("a", "block", "conv2d", "mult", N=1, C=16, M=32, H=8, W=8, E=4, F=4, R=3, S=3, stride=2, num_params=4672)
MATMUL = Layer("mix", "attention", "matmul", "mult", N=64, C=64, M=32, second_operand="activation", repeat=4)


@pytest.mark.parametrize("name", ["model_size", "peak_memory"])
def test_the_shipped_ones_keep_what_every_cost_promises(name: str) -> None:
    check_hardware_cost(built("hardware", f"hardware={name}"), SPACE, 8)


def test_a_kernel_takes_the_bits_of_its_arithmetic() -> None:
    model = ModelSize("size", BITS)
    assert model.price(CONV)["model_size_bytes"] == 32 * 16 * 9 + 4 * 32
    # Exponents and signs are trained as two tensors, and stored as one.
    for num_params in (4672, 2 * 4608 + 64):
        shift = replace(CONV, arithmetic="shift", num_params=num_params)
        assert model.price(shift)["model_size_bytes"] == 32 * 16 * 9 * 5 / 8 + 4 * 32
    depthwise = replace(CONV, M=16, groups=16)
    assert model.price(depthwise)["model_size_bytes"] == 16 * 9 + 4 * 16
    assert model.price(MATMUL)["model_size_bytes"] == 0
    assert model.price(replace(MATMUL, num_params=10))["model_size_bytes"] == 40


def test_the_peak_is_that_of_the_largest_layer() -> None:
    model = PeakMemory("peak", 16)
    assert model.bytes_of(CONV) == 2 * (16 * 64 + 32 * 16)
    assert model.bytes_of(MATMUL) == 2 * 4 * (64 * 64 + 64 * 32 + 64 * 32)
    bound = model.bind(SPACE, 8)
    for arch in SPACE.archs():
        peak = max(map(model.bytes_of, SPACE.arch_layers(arch, 8)))
        assert bound(arch).values == {"peak_memory_bytes": peak}
    # The narrowest network goes from 3 to 8 maps of 8x8, the widest from 8 to 16.
    assert bound.extremes() == {"peak_memory_bytes": (2 * 11 * 64, 2 * 24 * 64)}


def test_numbers_out_of_range_are_refused() -> None:
    for bits in ({"mult": 8, "add": 8}, {**BITS, "shift": 0}, {**BITS, "xor": 1}):
        with pytest.raises(UserError, match=r"hardware.weight_bits=.* give bits above 0 for mult, add, shift"):
            ModelSize("size", bits)
    for act_bits in (0, float("nan")):
        with pytest.raises(UserError, match=r"hardware\.act_bits="):
            PeakMemory("peak", act_bits)
