"""Power-of-two weights: golden values worked by hand, and the straight-through gradients."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from shiftaddnas.errors import UserError
from shiftaddnas.ops import Shift, ShiftConv2d, ShiftLinear, fixed_point, power_of_two, power_of_two_from_exponent

finite = st.floats(-4, 4, width=32, allow_subnormal=False)


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (0.02, 0.015625),
        (0.0221, 0.03125),
        (-0.7, -0.5),
        (0.7072, 1.0),
        (-0.75, -1.0),
        (1.5, 1.0),
        (1e-9, 3.0517578125e-05),
        (-1e-30, -(2.0**-15)),
        (3e8, 1.0),
        (0.0, 0.0),
    ],
)
def test_rounding_to_powers_of_two(weight: float, expected: float) -> None:
    assert power_of_two(torch.tensor([weight])).item() == expected


@pytest.mark.parametrize(("weight_bits", "smallest"), [(2, 2**-1), (3, 2**-3), (4, 2**-7), (6, 2**-31)])
def test_bits_set_the_smallest_magnitude(weight_bits: int, smallest: float) -> None:
    assert power_of_two(torch.tensor([1e-20]), weight_bits=weight_bits).item() == smallest


@given(st.lists(finite, min_size=1, max_size=20))
def test_rounding_is_idempotent_odd_and_close(values: list[float]) -> None:
    w = torch.tensor(values)
    rounded = power_of_two(w)
    assert torch.equal(power_of_two(rounded), rounded)
    assert torch.equal(power_of_two(-w), -rounded)
    inside = (w.abs() >= 2**-15) & (w.abs() <= 1)
    distance = (rounded[inside].abs().log2() - w[inside].abs().log2()).abs()
    assert (distance <= 0.5 + 1e-5).all()


def test_rounded_weight_passes_its_gradient_on_and_stays() -> None:
    w = torch.tensor([0.3, -5.0, 0.0, 1e-9], requires_grad=True)
    before = w.detach().clone()
    g = torch.tensor([1.0, -2.0, 3.0, 4.0])
    torch.autograd.backward(power_of_two(w), g)
    assert w.grad is not None
    assert torch.equal(w.grad, g)
    assert torch.equal(w.detach(), before)


@pytest.mark.parametrize(
    ("shift", "sign", "expected", "with_threshold"),
    [
        (-2.5, 0.6, 0.25, 0.25),
        (-3.5, -0.4, 0.0, -0.0625),
        (-20.0, 0.31, 0.0, 2.0**-14),
        (1.2, -0.3, 0.0, 0.0),
        (-0.49, 0.5, 0.0, 1.0),
    ],
)
def test_weight_from_exponent_and_sign(shift: float, sign: float, expected: float, with_threshold: float) -> None:
    s, t = torch.tensor([shift]), torch.tensor([sign])
    assert power_of_two_from_exponent(s, t).item() == expected
    assert power_of_two_from_exponent(s, t, sign_threshold=0.3).item() == with_threshold
    assert s.item() == pytest.approx(shift)
    assert t.item() == pytest.approx(sign)


def test_gradients_of_exponent_and_sign() -> None:
    shift = torch.tensor([-2.4, -3.0, -1.0, 0.0], requires_grad=True)
    sign = torch.tensor([0.8, -1.7, 0.1, 1.0], requires_grad=True)
    g = torch.tensor([1.0, 2.0, 3.0, -1.0])
    torch.autograd.backward(power_of_two_from_exponent(shift, sign), g)
    assert shift.grad is not None
    assert sign.grad is not None
    expected = torch.tensor([1.0 * 0.25, 2.0 * -0.125, 0.0, -1.0]) * math.log(2)
    torch.testing.assert_close(shift.grad, expected)
    assert torch.equal(sign.grad, g)


def test_an_exponent_outside_its_range_can_come_back_but_not_drift_away() -> None:
    shift = torch.tensor([0.5, 0.5, -14.5, -14.5], requires_grad=True)
    sign = torch.ones(4)
    torch.autograd.backward(power_of_two_from_exponent(shift, sign), torch.tensor([1.0, -1.0, -1.0, 1.0]))
    assert shift.grad is not None
    ln2, smallest = math.log(2), 2.0**-14
    torch.testing.assert_close(shift.grad, torch.tensor([ln2, 0.0, -smallest * ln2, 0.0]))


def test_layers_convolve_with_the_rounded_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 4, 6, 6, generator=generator)
    q = ShiftConv2d(4, 6, 3, stride=2, padding=1, groups=2, generator=generator)
    weight = power_of_two(q.get_parameter("weight"))
    torch.testing.assert_close(q(x), F.conv2d(x, weight, q.bias, 2, 1, 1, 2))
    ps = ShiftConv2d(4, 6, 3, bias=False, form="ps", weight_bits=4, generator=generator)
    weight = power_of_two_from_exponent(ps.get_parameter("shift"), ps.get_parameter("sign"), weight_bits=4)
    torch.testing.assert_close(ps(x), F.conv2d(x, weight))


def test_layer_has_the_parameters_of_conv2d_or_exponent_and_sign() -> None:
    kernel = (4, 3, 3, 3)
    assert {name: tuple(p.shape) for name, p in ShiftConv2d(6, 4, 3, groups=2).named_parameters()} == {
        name: tuple(p.shape) for name, p in nn.Conv2d(6, 4, 3, groups=2).named_parameters()
    }
    ps = ShiftConv2d(6, 4, 3, groups=2, bias=False, form="ps")
    assert {name: tuple(p.shape) for name, p in ps.named_parameters()} == {"shift": kernel, "sign": kernel}


def test_linear_layers_multiply_by_the_rounded_weights() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 8, generator=generator)
    q = ShiftLinear(8, 5, generator=generator)
    torch.testing.assert_close(q(x), F.linear(x, power_of_two(q.get_parameter("weight")), q.bias))
    ps = ShiftLinear(8, 5, False, form="ps", weight_bits=4, generator=generator)
    weight = power_of_two_from_exponent(ps.get_parameter("shift"), ps.get_parameter("sign"), weight_bits=4)
    torch.testing.assert_close(ps(x), F.linear(x, weight))
    assert {name: tuple(p.shape) for name, p in ps.named_parameters()} == {"shift": (5, 8), "sign": (5, 8)}
    assert {name: p.shape for name, p in q.named_parameters()} == {
        name: p.shape for name, p in nn.Linear(8, 5).named_parameters()
    }


def test_exponents_and_signs_start_uniform() -> None:
    shift, sign = Shift("ps").initial((64, 64, 3, 3), torch.Generator().manual_seed(0))
    assert -14 <= shift.min() < -13.9
    assert -0.1 < shift.max() <= 0
    assert shift.mean().item() == pytest.approx(-7, abs=0.1)
    assert -1 <= sign.min() < -0.99
    assert 0.99 < sign.max() <= 1
    assert (power_of_two_from_exponent(shift, sign) == 0).float().mean().item() == pytest.approx(0.5, abs=0.01)


def test_a_threshold_of_the_sign_keeps_more_weights() -> None:
    shift, sign = Shift("ps").initial((64, 64, 3, 3), torch.Generator().manual_seed(0))
    weight = Shift("ps", sign_threshold=0.3).weight((shift, sign))
    assert (weight == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    layer = ShiftConv2d(1, 1, 1, bias=False, form="ps", sign_threshold=0.3)
    with torch.no_grad():
        layer.get_parameter("shift").fill_(-3.5)
        layer.get_parameter("sign").fill_(-0.4)
    assert layer(torch.ones(1, 1, 1, 1)).item() == -0.0625
    assert layer.get_parameter("sign").item() == pytest.approx(-0.4)


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (0.1, 0.0999908447265625),
        (-0.1, -0.100006103515625),
        (40000.0, 32767.0),
        (-40000.0, -32768.0),
        (2.0**-17, 0.0),
        (-(2.0**-17), -(2.0**-16)),
        (1.5, 1.5),
    ],
)
def test_fixed_point_numbers(x: float, expected: float) -> None:
    assert fixed_point(torch.tensor([x])).item() == expected


def test_fixed_point_numbers_of_fewer_bits_and_in_half_precision() -> None:
    assert fixed_point(torch.tensor([0.99, -0.01]), fraction_bits=2).tolist() == [0.75, -0.25]
    for dtype in (torch.float16, torch.bfloat16):
        x = torch.tensor([3.25, -0.5, 100.0], dtype=dtype)
        assert fixed_point(x).dtype == dtype
        assert torch.equal(fixed_point(x), x)


def test_fixed_point_numbers_pass_their_gradient_on() -> None:
    x = torch.tensor([0.1, 40000.0, -40000.0], requires_grad=True)
    g = torch.tensor([1.0, -2.0, 3.0])
    torch.autograd.backward(fixed_point(x), g)
    assert x.grad is not None
    assert torch.equal(x.grad, g)


@pytest.mark.parametrize("kind", [ShiftConv2d, ShiftLinear])
def test_layers_read_fixed_point_inputs_and_biases(kind: type[ShiftConv2d | ShiftLinear]) -> None:
    arguments = (1, 1, 1) if kind is ShiftConv2d else (1, 1)
    layer = kind(*arguments, act_fraction_bits=2)
    with torch.no_grad():
        layer.get_parameter("weight").fill_(0.5)
        layer.get_parameter("bias").fill_(-0.3)
    assert layer(torch.full((1, 1, 1, 1), 1.9)).item() == 0.5 * 1.75 - 0.5
    plain = kind(*arguments)
    plain.load_state_dict(layer.state_dict())
    assert plain(torch.full((1, 1, 1, 1), 1.9)).item() == pytest.approx(0.5 * 1.9 - 0.3)


@pytest.mark.parametrize("kind", [ShiftConv2d, ShiftLinear])
def test_the_gradient_of_the_output_is_quantised_where_it_is_asked_for(kind: type[ShiftConv2d | ShiftLinear]) -> None:
    arguments = (1, 2, 1) if kind is ShiftConv2d else (1, 2)
    # Of images and of outputs; the grid of 2 bits goes from the smallest of all to the largest in steps of 1.
    g = torch.tensor([[0.0, 1.4], [3.0, 1.0]])
    shape = (2, 2, 1, 1) if kind is ShiftConv2d else (2, 2)
    gradients = []
    for _ in range(50):
        layer = kind(*arguments, grad_bits=2)
        torch.autograd.backward(layer(torch.ones(2, 1, *shape[2:])), g.view(shape))
        grad = layer.get_parameter("bias").grad
        assert grad is not None
        gradients.append(tuple(grad.tolist()))
    assert set(gradients) == {(3.0, 2.0), (3.0, 3.0)}


def test_settings_that_make_no_sense_are_named() -> None:
    with pytest.raises(UserError, match="form='sp'"):
        Shift("sp")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="weight_bits=1"):
        Shift(weight_bits=1)
    with pytest.raises(UserError, match=r"sign_threshold=0\.3 .* only form=ps"):
        Shift("q", sign_threshold=0.3)
    with pytest.raises(UserError, match="sign_threshold=-1"):
        Shift("ps", sign_threshold=-1)
    with pytest.raises(UserError, match="act_fraction_bits=-1"):
        Shift(act_fraction_bits=-1)
    with pytest.raises(UserError, match="grad_bits=32"):
        Shift(grad_bits=32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights_are_rounded_once(dtype: torch.dtype) -> None:
    w = (0.06 * torch.randn(20_000, generator=torch.Generator().manual_seed(0))).to(dtype)
    rounded = power_of_two(w)
    assert rounded.dtype == dtype
    assert torch.equal(rounded.double(), power_of_two(w.double()))
