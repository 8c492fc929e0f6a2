"""Adder layers against loops written from the formulas, in float64."""

import itertools
import math
import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shiftaddnas.errors import UserError
from shiftaddnas.ops import AdderConv2d, AdderLinear, adder_conv2d, adder_linear, force_adder_backend, unfolded
from shiftaddnas.ops.backend import AdderBackend

# test_triton_kernels.py runs this file in Triton's interpreter, which is slow: on every seventh geometry.
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
BACKENDS = ["triton"] if INTERPRETED else ["torch", "native"]
# stride, padding, dilation, groups
GEOMETRIES = list(itertools.product((1, 2, 3), (0, 1, 2), (1, 2), (1, 2, 4, 8)))[:: 7 if INTERPRETED else 1]


@pytest.fixture(params=BACKENDS, autouse=True)
def backend(request: pytest.FixtureRequest) -> Iterator[AdderBackend]:
    with force_adder_backend(request.param):
        yield request.param


def loops(
    x: Tensor, w: Tensor, g: Tensor, stride: int, padding: int, dilation: int, groups: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Output and, for the output gradient g, the gradients of kernel and input, one tap after another."""
    (batch, _, height, width), (filters, depth, rows, cols) = x.shape, w.shape
    out_h = (height + 2 * padding - dilation * (rows - 1) - 1) // stride + 1
    out_w = (width + 2 * padding - dilation * (cols - 1) - 1) // stride + 1
    y = torch.zeros(batch, filters, out_h, out_w).tolist()
    dw, dx = torch.zeros_like(w).tolist(), torch.zeros_like(x).tolist()
    xs, ws, gs = x.tolist(), w.tolist(), g.tolist()
    for b, f, e, o in itertools.product(range(batch), range(filters), range(out_h), range(out_w)):
        for c, r, s in itertools.product(range(depth), range(rows), range(cols)):
            channel = f // (filters // groups) * depth + c
            i, j = e * stride - padding + r * dilation, o * stride - padding + s * dilation
            inside = 0 <= i < height and 0 <= j < width
            difference = (xs[b][channel][i][j] if inside else 0.0) - ws[f][c][r][s]
            y[b][f][e][o] -= abs(difference)
            dw[f][c][r][s] += difference * gs[b][f][e][o]
            if inside:
                dx[b][channel][i][j] += max(-1.0, min(1.0, -difference)) * gs[b][f][e][o]
    return tuple(torch.tensor(values, dtype=torch.float64) for values in (y, dw, dx))  # type: ignore[return-value]


@pytest.mark.parametrize(("stride", "padding", "dilation", "groups"), GEOMETRIES)
def test_output_and_gradients_follow_the_formulas(
    stride: int, padding: int, dilation: int, groups: int, backend: AdderBackend
) -> None:
    dtype, tolerance = (torch.float64, 1e-10) if backend == "torch" else (torch.float32, 1e-5)
    generator = torch.Generator().manual_seed(stride + 10 * padding + 100 * dilation + 1000 * groups)
    x = torch.randn(2, 8, 7, 6, generator=generator, dtype=dtype).requires_grad_()
    w = torch.randn(8, 8 // groups, 3, 3, generator=generator, dtype=dtype).requires_grad_()
    y = adder_conv2d(x, w, stride=stride, padding=padding, dilation=dilation, groups=groups)
    g = torch.randn(y.shape, generator=generator, dtype=dtype)
    torch.autograd.backward(y, g)
    expected = loops(x.detach(), w.detach(), g, stride, padding, dilation, groups)
    assert w.grad is not None
    assert x.grad is not None
    for value, by_formula in zip((y.detach(), w.grad, x.grad), expected, strict=True):
        assert (value - by_formula).abs().max() <= tolerance * by_formula.abs().max()


def test_one_patch_by_hand() -> None:
    x = torch.tensor([[[[1.0, -2.0]]]], requires_grad=True)
    w = torch.tensor([[[[0.5, 1.0]]]], requires_grad=True)
    y = adder_conv2d(x, w)
    torch.autograd.backward(y, torch.full_like(y, 2.0))
    assert y.item() == -(0.5 + 3.0)
    assert w.grad is not None
    assert w.grad.flatten().tolist() == [2 * 0.5, 2 * -3.0]
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [2 * -0.5, 2 * 1.0]


def test_padding_costs_the_magnitude_of_the_kernel() -> None:
    w = torch.tensor([[[[1.0, -2.0, 3.0], [4.0, 0.0, 5.0], [6.0, -7.0, 8.0]]]])
    assert adder_conv2d(torch.zeros(1, 1, 1, 1), w, padding=1).item() == -36


def test_input_gradient_reaches_every_position_at_stride_2() -> None:
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    w = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    y = adder_conv2d(x, w, stride=2, padding=1)
    torch.autograd.backward(y, torch.ones_like(y))
    assert x.grad is not None
    assert (x.grad != 0).all()


def test_float32_is_exact_to_1e_5() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(4, 128, 8, 8, generator=generator)
    w = torch.randn(16, 128, 3, 3, generator=generator)
    gradients = {}
    for dtype in (torch.float32, torch.float64):
        xs, ws = x.to(dtype, copy=True).requires_grad_(), w.to(dtype, copy=True).requires_grad_()
        y = adder_conv2d(xs, ws, padding=1)
        torch.autograd.backward(y, torch.cos(torch.arange(y.numel())).view_as(y).to(dtype))
        gradients[dtype] = y.detach(), xs.grad, ws.grad
    for single, double in zip(gradients[torch.float32], gradients[torch.float64], strict=True):
        assert single is not None
        assert double is not None
        error = (single.double() - double).abs().max() / double.abs().max()
        assert error < 1e-5


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "groups"),
    [
        ((1, 512, 7, 7), (16, 512, 3, 3), 1),
        ((1, 2048, 7, 7), (16, 2048, 1, 1), 1),
        ((1, 64, 28, 28), (8, 64, 3, 3), 1),
        ((1, 3, 28, 28), (3, 1, 7, 7), 3),
    ],
)
def test_outputs_of_real_layers_are_exact_to_1e_5(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], groups: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(x_shape, generator=generator), torch.randn(w_shape, generator=generator)
    padding = w_shape[-1] // 2
    exact = adder_conv2d(x.double(), w.double(), padding=padding, groups=groups)
    error = (adder_conv2d(x, w, padding=padding, groups=groups) - exact) / exact
    assert error.abs().max() < 1e-5


def released_input_gradient(x: Tensor, w: Tensor, g: Tensor, stride: int, padding: int) -> Tensor:
    """The released kernel, by loops: an output coordinate meets its bounds before it is divided by the stride."""
    (batch, channels, height, width), (filters, _, rows, cols), (out_h, out_w) = x.shape, w.shape, g.shape[2:]
    xs, ws, gs, dx = x.tolist(), w.tolist(), g.tolist(), torch.zeros_like(x).tolist()
    for b, c, i, j in itertools.product(range(batch), range(channels), range(height), range(width)):
        for r, s in itertools.product(range(rows), range(cols)):
            e, o = i + padding - r, j + padding - s
            if 0 <= e < out_h and 0 <= o < out_w and e % stride == 0 and o % stride == 0:
                for f in range(filters):
                    hard_tanh = max(-1.0, min(1.0, ws[f][c][r][s] - xs[b][c][i][j]))
                    dx[b][c][i][j] += hard_tanh * gs[b][f][e // stride][o // stride]
    return torch.tensor(dx, dtype=torch.float64)


@pytest.mark.parametrize(("size", "stride"), [(56, 2), (8, 2), (7, 2), (9, 3), (6, 1)])
def test_truncated_input_gradient_is_the_released_one(size: int, stride: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2, size, size, generator=generator).requires_grad_()
    w = torch.randn(3, 2, 3, 3, generator=generator).requires_grad_()
    gradients = {}
    for kind in ("exact", "truncated"):
        y = adder_conv2d(x, w, stride=stride, padding=1, input_gradient=kind)
        gradients[kind] = y.detach(), *torch.autograd.grad(y, (x, w), y.detach().cos())
    (y, exact, dw), (y_truncated, truncated, dw_truncated) = gradients["exact"], gradients["truncated"]
    assert torch.equal(y, y_truncated)
    assert torch.equal(dw, dw_truncated)
    expected = released_input_gradient(x.detach(), w.detach(), y.cos(), stride, 1)
    assert (truncated - expected).abs().max() <= 1e-5 * expected.abs().max()
    if stride == 1:
        assert torch.equal(truncated, exact)


@pytest.mark.parametrize(("size", "seen"), [(56, 28), (8, 4)])
def test_truncated_input_gradient_reaches_a_quarter_at_stride_2(size: int, seen: int) -> None:
    """Rows and columns 0..27 of 56 (docs/method.md)."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 2, size, size, generator=generator).requires_grad_()
    w = torch.randn(3, 2, 3, 3, generator=generator)
    for kind, reached in (("exact", size), ("truncated", seen)):
        y = adder_conv2d(x, w, stride=2, padding=1, input_gradient=kind)  # type: ignore[arg-type]
        (grad_x,) = torch.autograd.grad(y, x, torch.ones_like(y))
        assert (grad_x[..., :reached, :reached] != 0).all()
        assert grad_x.count_nonzero() == 2 * reached**2


def test_unknown_input_gradients_are_refused() -> None:
    with pytest.raises(UserError, match="input_gradient=released is unknown; it is exact or truncated"):
        adder_conv2d(torch.zeros(1, 1, 3, 3), torch.zeros(1, 1, 3, 3), input_gradient="released")  # type: ignore[arg-type]


def test_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 4, 6, 6, generator=generator, dtype=torch.float64)
    w = torch.randn(6, 2, 3, 3, generator=generator, dtype=torch.float64)
    results = []
    for max_columns in (2**20, 2 * 4 * 9 * 16, 1):
        monkeypatch.setattr(unfolded, "MAX_COLUMNS", max_columns)
        xs, ws = x.clone().requires_grad_(), w.clone().requires_grad_()
        y = adder_conv2d(xs, ws, groups=2)
        torch.autograd.backward(y, y.detach().cos())
        results.append((y.detach(), xs.grad, ws.grad))
    for other in results[1:]:
        torch.testing.assert_close(other, results[0])


def test_eta_sets_the_norm_of_the_weight_gradient_only() -> None:
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(2, 4, 5, 5, generator=generator), torch.randn(4, 4, 3, 3, generator=generator)
    gradients = []
    for eta in (None, 0.2):
        xs, ws = x.clone().requires_grad_(), w.clone().requires_grad_()
        y = adder_conv2d(xs, ws, eta=eta)
        torch.autograd.backward(y, torch.ones_like(y))
        assert xs.grad is not None
        assert ws.grad is not None
        gradients.append((xs.grad, ws.grad))
    (dx, dw), (scaled_dx, scaled_dw) = gradients
    assert torch.equal(dx, scaled_dx)
    assert scaled_dw.norm().item() == pytest.approx(0.2 * math.sqrt(144), rel=1e-5)
    torch.testing.assert_close(scaled_dw / scaled_dw.norm(), dw / dw.norm())


def test_eta_keeps_a_zero_gradient_finite() -> None:
    w = torch.randn(2, 3, 1, 1, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y = adder_conv2d(torch.ones(1, 3, 2, 2), w, eta=0.2)
    torch.autograd.backward(y, torch.zeros_like(y))
    assert w.grad is not None
    assert not w.grad.any()


def test_autocast_computes_in_float32() -> None:
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(2, 3, 5, 5, generator=generator), torch.randn(4, 3, 3, 3, generator=generator)
    plain, mixed = w.clone().requires_grad_(), w.clone().requires_grad_()
    y = adder_conv2d(x, plain)
    torch.autograd.backward(y, torch.ones_like(y))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y_mixed = adder_conv2d(x, mixed)
        torch.autograd.backward(y_mixed, torch.ones_like(y))
    assert y_mixed.dtype == torch.float32
    assert torch.equal(y_mixed, y)
    assert mixed.grad is not None
    assert plain.grad is not None
    assert torch.equal(mixed.grad, plain.grad)


def test_half_precision_input_keeps_its_type_in_its_gradient() -> None:
    x = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0)).bfloat16().requires_grad_()
    y = adder_conv2d(x, torch.zeros(1, 2, 3, 3))
    torch.autograd.backward(y, torch.ones_like(y))
    assert y.dtype == torch.float32
    assert x.grad is not None
    assert x.grad.dtype == torch.bfloat16


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_half_precision_that_was_summed_in_float32(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    x, w = (torch.randn(2, 40, 5, 5, generator=generator).to(dtype).requires_grad_() for _ in range(2))
    y = adder_conv2d(x, w)
    expected = adder_conv2d(x.detach().double(), w.detach().double())
    torch.testing.assert_close(y, expected.to(dtype), atol=0, rtol=2**-7)  # a unit in the last place of bfloat16
    torch.autograd.backward(y, torch.ones_like(y))
    assert x.grad is not None
    assert w.grad is not None
    assert x.grad.dtype == w.grad.dtype == dtype


def test_gradient_of_what_is_frozen_is_none() -> None:
    x = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    w = torch.randn(2, 2, 3, 3, generator=torch.Generator().manual_seed(1))
    torch.autograd.backward(adder_conv2d(x, w).sum())
    assert x.grad is not None
    assert w.grad is None


@pytest.mark.parametrize(
    ("x_shape", "w_shape", "groups", "word"),
    [
        ((1, 4, 5, 5), (4, 4, 3, 3), 2, "groups=2"),
        ((1, 4, 5, 5), (3, 2, 3, 3), 2, "groups=2"),
        ((1, 4, 2, 5), (4, 4, 3, 3), 1, "does not fit"),
    ],
)
def test_misfits_are_named(x_shape: tuple[int, ...], w_shape: tuple[int, ...], groups: int, word: str) -> None:
    with pytest.raises(UserError, match=word):
        adder_conv2d(torch.zeros(x_shape), torch.zeros(w_shape), groups=groups)


@pytest.mark.parametrize(
    "setting",
    [{"padding": -1}, {"padding": (1, -1)}, {"dilation": 0}, {"stride": 0}, {"stride": (1, -2)}, {"groups": 0}],
)
def test_settings_that_are_none_are_named(setting: dict[str, Any]) -> None:
    (name,) = setting
    with pytest.raises(UserError, match=f"{name}="):
        adder_conv2d(torch.zeros(2, 8, 9, 9), torch.zeros(8, 8, 3, 3), **setting)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_an_empty_batch_has_empty_outputs_and_gradients(stride: int) -> None:
    layer, x = AdderConv2d(8, 6, 3, stride=stride, padding=1), torch.zeros(0, 8, 9, 9, requires_grad=True)
    y = layer(x)
    assert y.shape == nn.functional.conv2d(x, torch.zeros(6, 8, 3, 3), stride=stride, padding=1).shape
    torch.autograd.backward(y.sum())
    assert x.grad is not None
    assert x.grad.shape == x.shape
    assert not layer.get_parameter("weight").grad.any()  # type: ignore[union-attr]


def test_layer_has_the_signature_and_shapes_of_conv2d() -> None:
    x = torch.zeros(2, 6, 9, 8)
    for arguments in ((6, 4, 3), (6, 4, (3, 1), 2, (1, 0), 1, 2), (6, 6, 3, (2, 1), 2, (1, 2), 6, False)):
        ours = AdderConv2d(*arguments)
        theirs = nn.Conv2d(*arguments)
        assert ours(x).shape == theirs(x).shape
        assert {name: p.shape for name, p in ours.named_parameters()} == {
            name: p.shape for name, p in theirs.named_parameters()
        }


def test_layer_computes_the_function_with_its_parameters() -> None:
    generator = torch.Generator().manual_seed(0)
    layer = AdderConv2d(4, 6, 3, stride=2, padding=1, groups=2, generator=generator)
    x = torch.randn(2, 4, 7, 7, generator=generator)
    assert layer.bias is not None
    expected = adder_conv2d(x, layer.get_parameter("weight"), layer.bias, stride=2, padding=1, groups=2)
    assert torch.equal(layer(x), expected)


def test_layer_starts_from_a_standard_normal_kernel() -> None:
    weight = AdderConv2d(64, 64, 3, generator=torch.Generator().manual_seed(0)).get_parameter("weight")
    assert weight.std().item() == pytest.approx(1, abs=0.02)


def test_linear_is_minus_the_l1_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, 20, generator=generator).requires_grad_()
    w, bias = torch.randn(9, 20, generator=generator).requires_grad_(), torch.randn(9, generator=generator)
    y = adder_linear(x, w, bias)
    difference = x.detach().unsqueeze(2) - w.detach()
    torch.testing.assert_close(y.detach(), bias - difference.abs().sum(-1))
    g = torch.randn(y.shape, generator=generator)
    torch.autograd.backward(y, g)
    torch.testing.assert_close(w.grad, (g.unsqueeze(-1) * difference).sum((0, 1)))
    torch.testing.assert_close(x.grad, (g.unsqueeze(-1) * -difference.clamp(-1, 1)).sum(2))


def test_linear_layer_has_the_signature_and_parameters_of_nn_linear() -> None:
    generator = torch.Generator().manual_seed(0)
    layer, theirs = AdderLinear(200, 300, generator=generator), nn.Linear(200, 300)
    assert {name: p.shape for name, p in layer.named_parameters()} == {
        name: p.shape for name, p in theirs.named_parameters()
    }
    assert AdderLinear(200, 300, False).bias is None
    assert layer.weight.std().item() == pytest.approx(1, abs=0.02)
    x = torch.randn(5, 200, generator=generator)
    assert torch.equal(layer(x), adder_linear(x, layer.weight, layer.bias))


def test_linear_names_features_that_do_not_fit() -> None:
    with pytest.raises(UserError, match="4 features"):
        adder_linear(torch.zeros(2, 4), torch.zeros(3, 5))
