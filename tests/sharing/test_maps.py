"""The maps of shared kernels and their divergence: toy values by hand, and distributions by integration."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, stats

from shiftaddnas.ops import Add, Gaussian, KernelOperator, Laplacian, Shift
from shiftaddnas.sharing import divergence, piecewise_linear
from shiftaddnas.sharing.maps import PiecewiseLinearMap, QuantileMap

TOY = torch.tensor([-2, -1, -0.5, 0.25, 1, 2])
LAPLACE = stats.laplace(scale=1 / math.sqrt(2))


def sample(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_toy_map_with_the_top_edge_closed() -> None:
    mapped = piecewise_linear(TOY, torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert mapped.tolist() == [-2, -2, -1, 0.75, 4, 8]


def test_gradients_are_the_slope_and_the_sum_over_the_bin() -> None:
    w, slopes = TOY.clone().requires_grad_(), torch.tensor([1.0, 2.0, 3.0, 4.0]).requires_grad_()
    torch.autograd.backward(piecewise_linear(w, slopes), torch.ones(6))
    assert w.grad is not None
    assert slopes.grad is not None
    assert w.grad.tolist() == [1, 2, 2, 3, 4, 4]
    assert slopes.grad.tolist() == [-2, -1.5, 0.25, 3]


@given(
    st.lists(st.integers(-1000, 1000), min_size=2, max_size=30, unique=True),
    st.integers(0, 6).map(lambda exponent: 2**exponent),
)
def test_bins_are_those_of_the_definition(values: list[int], num_bins: int) -> None:
    low, high = min(values), max(values)
    mapped = piecewise_linear(torch.tensor(values, dtype=torch.float64), torch.arange(num_bins).double() + 1)
    for value, result in zip(values, mapped.tolist(), strict=True):
        expected = min((value - low) * num_bins // (high - low), num_bins - 1)
        if (value - low) * num_bins % (high - low):  # on an edge, rounding may take either side
            assert result == value * (expected + 1)
        else:
            assert result in (value * expected, value * (expected + 1))


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_equal_elements_are_in_the_first_bin(value: float) -> None:
    assert piecewise_linear(torch.full((3,), value), torch.tensor([2.0, 5.0])).tolist() == [2 * value] * 3


def test_a_diverged_kernel_stays_visible() -> None:
    assert piecewise_linear(torch.tensor([1.0, math.nan]), torch.ones(10)).isnan().any()


def test_slopes_start_from_the_map_by_equal_quantiles() -> None:
    w = 0.1 * sample(32, 50, 1, 1)
    slopes = PiecewiseLinearMap(Add(), w, num_bins=40, std=0.1).slopes.tolist()
    low, high = w.min().item() / 0.1, w.max().item() / 0.1
    for index, slope in enumerate(slopes):
        centre = low + (index + 0.5) * (high - low) / 40
        expected = math.copysign(LAPLACE.isf(stats.norm.sf(abs(centre))), centre) / centre
        assert slope == pytest.approx(expected, rel=1e-5)


def test_slopes_start_from_the_limit_where_a_bin_is_centred_at_zero() -> None:
    slopes = PiecewiseLinearMap(Add(), torch.tensor([[-1.0, 0.0, 1.0]]), num_bins=3, std=1.0).slopes
    assert slopes[1].item() == pytest.approx(stats.norm.pdf(0) / LAPLACE.pdf(0), rel=1e-5)


def test_the_shift_map_starts_as_a_multiple_of_the_kernel() -> None:
    w = 0.2 * sample(16, 50, 1, 1)
    w -= w.mean()
    for map_ in (PiecewiseLinearMap(Shift(), w, num_bins=100, std=0.2), QuantileMap(Shift(), w)):
        torch.testing.assert_close(map_(w), w * math.sqrt(2 / 50) / w.std(correction=0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("operator", "std"), [(Add(), 1.0), (Shift(), math.sqrt(2 / 72))])
@pytest.mark.parametrize("num_bins", [1, 4, 100])
def test_mapped_kernels_start_at_the_scale_of_their_operator(
    operator: KernelOperator, std: float, num_bins: int
) -> None:
    w = math.sqrt(2 / 72) * sample(16, 8, 3, 3)
    for map_ in (PiecewiseLinearMap(operator, w, num_bins=num_bins, std=math.sqrt(2 / 72)), QuantileMap(operator, w)):
        assert map_(w).std(correction=0).item() == pytest.approx(std, rel=1e-5)


def test_quantile_map_is_finite_in_value_and_gradient_eight_deviations_out() -> None:
    w = sample(64, 64, 1, 1)
    w[0, 0], w[0, 1] = 8.0, -8.0
    w.requires_grad_()
    mapped = QuantileMap(Add(), w.detach())(w)
    torch.autograd.backward(mapped, torch.ones_like(mapped))
    assert mapped.isfinite().all()
    assert w.grad is not None
    assert w.grad.isfinite().all()


def test_maps_bring_a_gaussian_kernel_close_to_the_laplacian() -> None:
    z = sample(128, 128, 1, 1)
    raw = divergence(z, Laplacian()).item()
    assert PiecewiseLinearMap(Add(), 0.1 * z, num_bins=100, std=0.1).divergence(0.1 * z).item() < raw / 5
    assert QuantileMap(Add(), 0.1 * z).divergence(0.1 * z).item() < raw / 5


def test_quantile_map_ignores_where_the_kernel_lies_and_how_wide_it_is() -> None:
    w = sample(20, 20, 1, 1).double()
    map_ = QuantileMap(Add(), w)
    torch.testing.assert_close(map_(3 * w + 5), map_(w))


def test_divergence_of_exact_quantiles_is_zero() -> None:
    p = (torch.arange(1000) + 0.5) / 1000
    shuffled = torch.from_numpy(LAPLACE.ppf(p.double().numpy())).float()[
        torch.randperm(1000, generator=torch.Generator().manual_seed(0))
    ]
    assert divergence(shuffled.view(10, 100, 1, 1), Laplacian()).item() < 1e-6


def test_divergence_tells_distributions_apart() -> None:
    """A Gaussian is at 2 - 2 E[Z T(Z)] from the Laplacian, T the map by equal quantiles."""
    overlap, _ = integrate.quad(lambda z: 2 * z * LAPLACE.isf(stats.norm.sf(z)) * stats.norm.pdf(z), 0, 12)
    population = 2 - 2 * overlap
    uniform = torch.rand(200_000, generator=torch.Generator().manual_seed(1)).double().clamp_min(1e-9)
    laplacian_sample = torch.from_numpy(LAPLACE.ppf(uniform.numpy()))
    gaussian_sample = sample(200_000).double()
    assert 0.03 < population < 0.05
    assert divergence(gaussian_sample, Laplacian()).item() == pytest.approx(population, rel=0.1)
    assert divergence(laplacian_sample, Gaussian()).item() == pytest.approx(population, rel=0.1)
    assert divergence(laplacian_sample, Laplacian()).item() < population / 20
    assert divergence(gaussian_sample, Gaussian()).item() < population / 20


def test_divergence_does_not_depend_on_the_order_and_leads_to_the_target() -> None:
    w = sample(500).requires_grad_()
    before = divergence(w, Laplacian())
    assert divergence(w.detach().flip(0), Laplacian()).item() == pytest.approx(before.item())
    torch.autograd.backward(before)
    assert w.grad is not None
    # Its minimum along the gradient of a mean of 500 squares is 500 / 2 away, and is the target itself.
    assert divergence(w.detach() - 250 * w.grad, Laplacian()).item() < 1e-6


def test_divergence_ignores_the_gain() -> None:
    w = sample(20, 20, 1, 1)
    map_ = QuantileMap(Add(), w)
    before = map_.divergence(w).item()
    with torch.no_grad():
        map_.gain.mul_(3)
    assert map_.divergence(w).item() == before
