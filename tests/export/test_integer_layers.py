"""Layers in integers: scales, lossless powers of two, and the bits of an evaluation in Python's integers."""

import math
from fractions import Fraction

import integers
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shiftaddnas.errors import UserError
from shiftaddnas.export.integer_layers import (
    adder_conv2d,
    exponents_and_signs,
    largest_sum,
    scale_exponent,
    shift_conv2d,
    shift_linear,
    to_integers,
)
from shiftaddnas.ops import power_of_two, power_of_two_from_exponent

GEOMETRIES = {
    "3x3": ((3, 4), {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}),
    "strided": ((3, 4), {"stride": (2, 2), "padding": (1, 1), "dilation": (1, 1), "groups": 1}),
    "depthwise": ((3, 3), {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 3}),
    "grouped, dilated": ((4, 6), {"stride": (1, 2), "padding": (2, 0), "dilation": (2, 1), "groups": 2}),
}


@given(st.floats(min_value=2.0**-100, max_value=2.0**100, width=32))
def test_a_scale_is_the_least_that_holds_the_largest(largest: float) -> None:
    scale = scale_exponent(largest)
    assert round(Fraction(largest) / Fraction(2) ** scale) <= 32767
    assert round(Fraction(largest) / Fraction(2) ** (scale - 1)) > 32767


def test_scales_worked_by_hand() -> None:
    assert scale_exponent(1.0) == -14  # 16384; 2^-15 would be 32768
    assert scale_exponent(32767.0) == 0
    assert scale_exponent(32767.5) == 1  # rounds to 32768, which 16 bits do not have
    assert scale_exponent(0.0) == 0


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(UserError, match="no integer"):
        scale_exponent(value)


def test_integers_are_rounded_half_to_even_and_clamped() -> None:
    x = torch.tensor([0.25, 0.75, -0.75, 1e9, -1e9, 3.0])
    assert to_integers(x, -1).tolist() == [0, 2, -2, 32767, -32767, 6]


@given(st.integers(2, 8), st.integers(0, 2**31))
def test_weights_of_powers_of_two_are_held_exactly(weight_bits: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    magnitude = torch.randn(4, 3, generator=generator) * 20
    weight = torch.randn(4, 3, generator=generator) * magnitude.exp2()
    weight[0, 0] = 0
    rounded = power_of_two(weight, weight_bits=weight_bits)
    found = exponents_and_signs(rounded)
    assert found is not None
    exponent, sign = found
    assert (exponent.dtype, sign.dtype) == (torch.int8, torch.int8)
    assert sign[0, 0] == 0
    assert torch.equal(sign * 2.0 ** exponent.double(), rounded.double())


def test_weights_from_exponent_and_sign_are_held_exactly() -> None:
    generator = torch.Generator().manual_seed(0)
    shift, sign = (20 * torch.randn(64, 8, generator=generator) for _ in range(2))
    weight = power_of_two_from_exponent(shift, sign / 20, weight_bits=5)
    assert (weight == 0).any()
    found = exponents_and_signs(weight)
    assert found is not None
    assert torch.equal(found[1] * 2.0 ** found[0].double(), weight.double())


@pytest.mark.parametrize("weight", [[1.0, 0.3], [2.0**-140, 1.0], [math.inf, 1.0], [math.nan, 1.0]])
def test_other_weights_are_no_powers_of_two(weight: list[float]) -> None:
    assert exponents_and_signs(torch.tensor(weight)) is None


def test_a_kernel_of_zeros() -> None:
    found = exponents_and_signs(torch.zeros(2, 1, 1, 1))
    assert found is not None
    y = shift_conv2d(torch.ones(1, 1, 2, 2), *found, -14, None, [1, 1], [0, 0], [1, 1], 1)
    assert torch.equal(y, torch.zeros(1, 2, 2, 2))


def kernel(channels: int, filters: int, groups: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(filters, channels // groups, 3, 2, generator=generator)


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("scale", [-12, 3])
def test_shifts_have_the_bits_of_pythons_integers(name: str, scale: int) -> None:
    (channels, filters), geometry = GEOMETRIES[name]
    weight = power_of_two(kernel(channels, filters, geometry["groups"]) / 3, weight_bits=5)
    weight[0, 0, 0, 0] = 0
    x = torch.randn(2, channels, 5, 6, generator=torch.Generator().manual_seed(0)) * 2.0 ** (scale + 14)
    found = exponents_and_signs(weight)
    assert found is not None
    y = shift_conv2d(x, *found, scale, None, **geometry)
    assert y.numpy().tolist() == integers.shift_layer(x.numpy(), weight.numpy(), scale, **geometry).tolist()


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("scale", [-12, 3])
def test_adders_have_the_bits_of_pythons_integers(name: str, scale: int) -> None:
    (channels, filters), geometry = GEOMETRIES[name]
    unit = 2.0 ** (scale + 14)
    weight = kernel(channels, filters, geometry["groups"]) * unit
    x = torch.randn(2, channels, 5, 6, generator=torch.Generator().manual_seed(0)) * unit
    y = adder_conv2d(x, to_integers(weight, scale), scale, **geometry)
    assert y.numpy().tolist() == integers.adder_layer(x.numpy(), weight.numpy(), scale, **geometry).tolist()


def test_a_shift_layer_by_hand() -> None:
    x = torch.tensor([[0.5, -1.25, 3.0]])
    weight = torch.tensor([[0.25, -1.0, 0.0]])  # exponents -2 and 0
    found = exponents_and_signs(weight)
    assert found is not None
    # With a unit of 2^-2: x = 2, -5, 12; sum = (2 << 0) - (-5 << 2) = 22, in units of 2^-2 2^-2.
    assert shift_linear(x, *found, -2, None).tolist() == [[22 / 16]]
    assert shift_linear(x, *found, -2, torch.tensor([1.0])).tolist() == [[22 / 16 + 1]]


def test_the_largest_sum_is_reached() -> None:
    weight = torch.tensor([[1.0, -0.25], [0.5, 0.5]])
    found = exponents_and_signs(weight)
    assert found is not None
    assert largest_sum(*found) == 32767 * (4 + 1)
    x = torch.tensor([[1e9, -1e9]])
    assert shift_linear(x, *found, 0, None)[0, 0].item() == 32767 * 5 / 4


def test_sums_beyond_float32_are_exact_until_they_are_rounded_once() -> None:
    weight = torch.full((1, 4096, 1, 1), 1.0)
    weight[0, 0] = 2.0**-15
    found = exponents_and_signs(weight)
    assert found is not None
    x = torch.full((1, 4096, 1, 1), 32767.0)
    x[0, 0] = 1
    y = shift_conv2d(x, *found, 0, None, [1, 1], [0, 0], [1, 1], 1)
    exact = (4095 * 32767 << 15) + 1
    assert y.item() == float(torch.tensor(exact).float()) * 2.0**-15
