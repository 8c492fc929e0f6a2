"""Fake quantisation: golden values on grids of whole steps, rounding errors, the expectation of noisy gradients."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from shiftaddnas.errors import UserError
from shiftaddnas.ops import (
    FIX8,
    FIX16,
    AdderConv2d,
    AdderLinear,
    FakeQuantize,
    Precision,
    QuantizedLayer,
    ShiftConv2d,
    ShiftLinear,
    adder_conv2d,
    adder_linear,
    fake_quantize,
    fake_quantize_per_row,
    fake_quantize_per_tensor,
    power_of_two,
    power_of_two_from_exponent,
    quantize_gradient,
)

values = st.lists(st.floats(-100, 100, width=32, allow_subnormal=False), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("bits", "x", "expected"),
    [
        (2, [-1.0, -0.4, 0.1, 2.0], [-1.0, 0.0, 0.0, 2.0]),
        (8, [0.0, 0.4, 0.5, 1.5, 100.6, 255.0], [0.0, 0.0, 0.0, 2.0, 101.0, 255.0]),
        (16, [-0.25, 0.3, 65534.75], [-0.25, 0.75, 65534.75]),
        (1, [3.0, 4.0, 6.0, 7.0], [3.0, 3.0, 7.0, 7.0]),
        (8, [5.0, 5.0], [5.0, 5.0]),
        (8, [0.0, 4e-9, 6e-9, 2e-8], [0.0, 0.0, 1e-8, 2e-8]),  # no step is smaller than 1e-8
    ],
)
def test_a_tensor_on_its_own_grid(bits: int, x: list[float], expected: list[float]) -> None:
    torch.testing.assert_close(
        fake_quantize_per_tensor(torch.tensor(x), bits=bits), torch.tensor(expected), rtol=1e-6, atol=0
    )


def test_a_given_range_clips_and_the_gradient_passes() -> None:
    x = torch.tensor([-5.0, 0.3, 1.6, 9.0], requires_grad=True)
    y = fake_quantize(x, torch.tensor(0.0), torch.tensor(3.0), bits=2)
    assert y.tolist() == [0, 0, 2, 3]
    g = torch.tensor([1.0, -2.0, 3.0, 4.0])
    torch.autograd.backward(y, g)
    assert x.grad is not None
    assert torch.equal(x.grad, g)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 1), (2, 1, 3, 1)])
def test_every_row_of_a_weight_has_a_grid_of_its_own(shape: tuple[int, ...]) -> None:
    weight = torch.tensor([[0.0, 1.2, 3.0], [0.0, 4.0, 30.0]]).view(shape)
    assert fake_quantize_per_row(weight, bits=2).flatten().tolist() == [0, 1, 3, 0, 0, 30]
    assert fake_quantize_per_tensor(weight, bits=2).flatten().tolist() == [0, 0, 0, 0, 0, 30]


@given(values, st.integers(1, 16))
def test_rounding_is_off_by_half_a_step_at_most_and_idempotent(x: list[float], bits: int) -> None:
    before = torch.tensor(x)
    after = fake_quantize_per_tensor(before, bits=bits)
    step = max((max(x) - min(x)) / (2**bits - 1), 1e-8)
    rounding = 1e-6 * max(map(abs, x))  # of float32 itself
    assert (after - before).abs().max() <= step / 2 + rounding
    assert after.min() == before.min()
    torch.testing.assert_close(fake_quantize_per_tensor(after, bits=bits), after, rtol=0, atol=4 * rounding)


def test_half_precision_is_computed_in_float32_and_kept() -> None:
    x = torch.linspace(-3, 5, 100).bfloat16()
    y = fake_quantize_per_tensor(x, bits=8)
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, fake_quantize_per_tensor(x.float(), bits=8).bfloat16())


def gradient(g: Tensor, bits: int, generator: torch.Generator | None = None) -> Tensor:
    x = torch.zeros_like(g, requires_grad=True)
    y = quantize_gradient(x + 0.3, bits=bits, generator=generator)
    assert torch.equal(y, torch.full_like(g, 0.3))
    torch.autograd.backward(y, g)
    assert x.grad is not None
    return x.grad


def test_stochastic_rounding_expects_the_gradient() -> None:
    # Steps of 1 from -1 to 2. A draw of a value between two levels has a variance of 1/4 at most: the mean of 40,000
    # has a deviation of 0.0025 at most, and 0.015 is six of them.
    between = torch.tensor([-0.9, -0.25, 0.5, 1.99])
    g = torch.cat([torch.tensor([-1.0, 2.0, 0.0, 1.0]), between.repeat(40_000)])
    rounded = gradient(g, 2, torch.Generator().manual_seed(0))
    assert rounded[:4].tolist() == [-1, 2, 0, 1]
    draws = rounded[4:].view(-1, 4)
    torch.testing.assert_close(draws.mean(0), between, rtol=0, atol=0.015)
    assert torch.equal(draws.amin(0), between.floor())
    assert torch.equal(draws.amax(0), between.ceil())


def test_the_smallest_and_the_largest_of_the_batch_are_kept() -> None:
    g = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    rounded = gradient(g, 16)
    step = (g.max() - g.min()) / 65535
    torch.testing.assert_close([rounded.min(), rounded.max()], [g.min(), g.max()])
    assert (rounded - g).abs().max() < 1.01 * step
    assert not torch.equal(rounded, g)


def test_gradients_follow_their_generator_or_the_global_seed() -> None:
    g = torch.randn(100, generator=torch.Generator().manual_seed(0))
    state = torch.get_rng_state()
    drawn = [gradient(g, 4, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
    assert torch.equal(torch.get_rng_state(), state)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(1)
        seeded = gradient(g, 4)
        other = gradient(g, 4)
        torch.manual_seed(1)
        assert torch.equal(gradient(g, 4), seeded)
        assert not torch.equal(other, seeded)


def test_zero_gradients_stay_zero_and_overflow_stays_visible() -> None:
    assert not gradient(torch.zeros(50), 8).any()
    assert gradient(torch.tensor([1.0, float("inf")]), 8).isnan().all()
    assert gradient(torch.tensor([1.0, float("nan")]), 8).isnan().all()


def test_activations_follow_the_batch_in_training_and_the_running_range_in_evaluation() -> None:
    quantizer = FakeQuantize(2)
    assert quantizer(torch.tensor([0.0, 0.3, 3.0])).tolist() == [0, 0, 3]
    assert [quantizer.running_min.item(), quantizer.running_range.item()] == [0, 3]
    torch.testing.assert_close(quantizer(torch.tensor([-1.0, 0.2, 5.0])), torch.tensor([-1.0, 1.0, 5.0]))
    low, span = 0.9 * -1.0, 0.1 * 3 + 0.9 * 6
    assert quantizer.running_min.item() == pytest.approx(low)
    assert quantizer.running_range.item() == pytest.approx(span)
    quantizer.eval()
    before = {name: buffer.clone() for name, buffer in quantizer.state_dict().items()}
    expected = torch.tensor([low, low + span / 3, low + span])
    torch.testing.assert_close(quantizer(torch.tensor([-7.0, 0.9, 60.0])), expected)
    for name, buffer in quantizer.state_dict().items():
        assert torch.equal(buffer, before[name]), name


def test_running_ranges_are_state() -> None:
    trained, loaded = FakeQuantize(4), FakeQuantize(4).eval()
    x = torch.randn(64, generator=torch.Generator().manual_seed(0))
    trained(x)
    assert torch.equal(loaded(x), x)  # no batch yet
    assert sorted(trained.state_dict()) == ["num_batches_tracked", "running_min", "running_range"]
    loaded.load_state_dict(trained.state_dict())
    assert torch.equal(loaded(x), trained.eval()(x))
    assert torch.equal(loaded(x), fake_quantize_per_tensor(x, bits=4))


def test_running_ranges_in_half_precision() -> None:
    quantizer = FakeQuantize(8).bfloat16()
    x = torch.tensor([0.0, 1.0, 255.0], dtype=torch.bfloat16)
    assert torch.equal(quantizer(x), x)
    assert torch.equal(quantizer.eval()(x), x)
    assert quantizer.running_range.dtype == torch.bfloat16


LAYERS: list[tuple[nn.Module, Callable[[Tensor, Tensor, Tensor], Tensor]]] = [
    (nn.Conv2d(4, 6, 3, padding=1), lambda x, w, b: F.conv2d(x, w, b, padding=1)),
    (AdderConv2d(4, 6, 3, padding=1), lambda x, w, b: adder_conv2d(x, w, b, padding=1)),
    (nn.Linear(4, 6), F.linear),
    (AdderLinear(4, 6), adder_linear),
]


@pytest.mark.parametrize(("layer", "function"), LAYERS, ids=lambda value: type(value).__name__)
def test_a_quantised_layer_is_its_function_of_quantised_numbers(
    layer: nn.Module, function: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> None:
    x = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    weight, bias = layer.get_parameter("weight").detach(), layer.get_parameter("bias").detach()
    expected = function(
        fake_quantize_per_tensor(x, bits=3),
        fake_quantize_per_row(weight, bits=3),
        fake_quantize_per_tensor(bias, bits=3),
    )
    torch.testing.assert_close(QuantizedLayer(layer, Precision(3, None))(x), expected)


@pytest.mark.parametrize("kind", [ShiftConv2d, ShiftLinear])
@pytest.mark.parametrize("form", ["q", "ps"])
def test_the_weights_of_shift_layers_stay_powers_of_two(kind: type[ShiftConv2d | ShiftLinear], form: str) -> None:
    arguments = (4, 6, 1) if kind is ShiftConv2d else (4, 6)
    layer = kind(*arguments, form=form, generator=torch.Generator().manual_seed(1))  # type: ignore[arg-type]
    if form == "q":
        weight = power_of_two(layer.get_parameter("weight"))
    else:
        weight = power_of_two_from_exponent(layer.get_parameter("shift"), layer.get_parameter("sign"))
    x = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    inputs, bias = fake_quantize_per_tensor(x, bits=3), fake_quantize_per_tensor(layer.get_parameter("bias"), bits=3)
    expected = F.conv2d(inputs, weight, bias) if kind is ShiftConv2d else F.linear(inputs, weight, bias)
    torch.testing.assert_close(QuantizedLayer(layer, Precision(3, None))(x), expected)


def test_the_gradient_of_the_output_is_quantised_and_passes_straight_through() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 4, generator=generator).requires_grad_()
    g = torch.randn(5, 6, generator=generator)
    layer = nn.Linear(4, 6)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(3)
        torch.autograd.backward(QuantizedLayer(layer, Precision(8, 2))(x), g)
        torch.manual_seed(3)
        quantized = gradient(g, 2)
    step = (g.max() - g.min()) / 3
    levels = (quantized - g.min()) / step
    torch.testing.assert_close(levels, levels.round())
    inputs, weight = fake_quantize_per_tensor(x, bits=8), fake_quantize_per_row(layer.weight, bits=8)
    torch.testing.assert_close(layer.bias.grad, quantized.sum(0))
    torch.testing.assert_close(layer.weight.grad, quantized.t() @ inputs)
    torch.testing.assert_close(x.grad, quantized @ weight)


def test_without_bits_the_gradient_stays_as_it_is() -> None:
    g = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    layer = nn.Linear(4, 6)
    torch.autograd.backward(QuantizedLayer(layer, Precision(8, None))(torch.ones(5, 4)), g)
    torch.testing.assert_close(layer.bias.grad, g.sum(0))


def test_parameters_stay_the_layers_own_and_one_where_shared() -> None:
    conv, adder = nn.Conv2d(4, 4, 3, bias=False), AdderConv2d(4, 4, 3, bias=False)
    adder.weight = conv.weight
    net = nn.ModuleList([QuantizedLayer(conv, FIX8), QuantizedLayer(adder, FIX16)])
    assert [name for name, _ in net.named_parameters()] == ["0.layer.weight"]
    assert next(net.parameters()) is conv.weight
    assert sorted(net[0].state_dict()) == [
        "input.num_batches_tracked",
        "input.running_min",
        "input.running_range",
        "layer.weight",
    ]
    x = torch.randn(2, 4, 5, 5, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        gradients = [torch.autograd.grad(layer(x).sum(), [conv.weight])[0] for layer in net]
        torch.manual_seed(0)
        for layer in net:
            torch.autograd.backward(layer(x).sum())
    torch.testing.assert_close(conv.weight.grad, gradients[0] + gradients[1])
    assert conv.weight.equal(adder.weight)


def test_precisions_by_name() -> None:
    assert Precision(8, 8) == FIX8
    assert Precision(16, 16) == FIX16


def test_bits_out_of_range_and_what_is_no_layer_are_named() -> None:
    with pytest.raises(UserError, match="bits=0"):
        Precision(0, None)
    with pytest.raises(UserError, match="grad_bits=17"):
        Precision(8, 17)
    with pytest.raises(UserError, match="bits=32"):
        FakeQuantize(32)
    with pytest.raises(UserError, match="a Sequential cannot be quantised"):
        QuantizedLayer(nn.Sequential(nn.Linear(2, 2)))
