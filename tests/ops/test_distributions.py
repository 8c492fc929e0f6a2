"""Targets against closed forms and scipy."""

import math

import pytest
import torch
from scipy import stats

from shiftaddnas.ops import Gaussian, Laplacian

LAPLACE = stats.laplace(scale=1 / math.sqrt(2))


def test_laplacian_quantiles_by_hand() -> None:
    p = torch.tensor([0.25, 0.5, 0.75, 0.995], dtype=torch.float64)
    b = 1 / math.sqrt(2)
    expected = torch.tensor([-b * math.log(2), 0.0, b * math.log(2), b * math.log(100)], dtype=torch.float64)
    torch.testing.assert_close(Laplacian().quantile(p), expected)


def test_quantiles_agree_with_scipy() -> None:
    p = (torch.arange(50, dtype=torch.float64) + 0.5) / 50
    torch.testing.assert_close(Gaussian().quantiles(50, like=p), torch.from_numpy(stats.norm.ppf(p.numpy())))
    torch.testing.assert_close(Laplacian().quantiles(50, like=p), torch.from_numpy(LAPLACE.ppf(p.numpy())))


def test_laplacian_of_a_gaussian_is_exact_in_float32_far_out() -> None:
    z = torch.linspace(-8, 8, 33)
    expected = [math.copysign(LAPLACE.isf(stats.norm.sf(abs(value))), value) for value in z.tolist()]
    torch.testing.assert_close(Laplacian().from_gaussian(z), torch.tensor(expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("z", [-8.0, -1.5, 0.0, 2.0, 8.0])
def test_slope_of_the_map_is_the_ratio_of_the_densities(z: float) -> None:
    at = torch.tensor([z], requires_grad=True)
    torch.autograd.backward(Laplacian().from_gaussian(at).sum())
    assert at.grad is not None
    mapped = math.copysign(LAPLACE.isf(stats.norm.sf(abs(z))), z)
    assert at.grad.item() == pytest.approx(stats.norm.pdf(z) / LAPLACE.pdf(mapped), rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_its_type(dtype: torch.dtype) -> None:
    z = torch.linspace(-4, 4, 33).to(dtype)
    mapped = Laplacian().from_gaussian(z)
    assert mapped.dtype == dtype
    torch.testing.assert_close(mapped.float(), Laplacian().from_gaussian(z.float()), rtol=2**-7, atol=1e-3)
