"""The data behind pictures of weights: maximum-likelihood fits, panels in units of each kernel, names of layers."""

import math

import numpy as np
import pytest
from scipy import stats

from shiftaddnas.report.weight_figures import grid
from shiftaddnas.report.weights import by_layer, by_operator, fits, layer_names

RNG = np.random.default_rng(0)
GAUSSIAN = RNG.normal(0.3, 0.05, 4000)
LAPLACIAN = RNG.laplace(-1.0, 2.0, 4000)


@pytest.mark.parametrize("weights", [GAUSSIAN, LAPLACIAN, np.array([1.0, 2.0, 4.0, 9.0])])
def test_fits_are_the_closed_forms(weights: np.ndarray) -> None:
    gaussian, laplacian = fits(weights)
    assert (gaussian.family, laplacian.family) == ("Gaussian", "Laplacian")
    mean, variance = weights.mean(), np.mean((weights - weights.mean()) ** 2)
    assert (gaussian.location, gaussian.scale) == pytest.approx((mean, math.sqrt(variance)))
    assert gaussian.log_likelihood == pytest.approx(-0.5 * math.log(2 * math.pi * math.e * variance))
    middle = np.median(weights)
    distance = np.mean(np.abs(weights - middle))
    assert (laplacian.location, laplacian.scale) == pytest.approx((middle, distance))
    assert laplacian.log_likelihood == pytest.approx(-math.log(2 * math.e * distance))


def test_no_other_parameters_are_likelier() -> None:
    for fit, family in zip(fits(LAPLACIAN), (stats.norm, stats.laplace), strict=True):
        for location, scale in ((0.05, 1.0), (-0.05, 1.0), (0.0, 1.02), (0.0, 0.98)):
            other = family.logpdf(LAPLACIAN, fit.location + location, fit.scale * scale).mean()
            assert other < fit.log_likelihood


def test_densities_are_those_of_the_fits() -> None:
    gaussian, laplacian = fits(GAUSSIAN)
    at = np.array([gaussian.location])
    assert gaussian.density(at)[0] == pytest.approx(1 / (gaussian.scale * math.sqrt(2 * math.pi)))
    at = np.array([laplacian.location + laplacian.scale])
    assert laplacian.density(at)[0] == pytest.approx(math.exp(-1) / (2 * laplacian.scale))


def test_an_operator_is_the_kernels_in_their_own_units() -> None:
    # A mixture of Gaussians of different scales is no Gaussian: pooled as they are, these would look Laplacian.
    scales = (0.01, 0.1, 1.0)
    kernels = [(f"layers.{n}", "conv", RNG.normal(5, scale, 3000)) for n, scale in enumerate(scales)]
    pooled = fits(np.concatenate([weights - weights.mean() for _, _, weights in kernels]))
    assert pooled[1].log_likelihood > pooled[0].log_likelihood
    (panel,) = by_operator(kernels)
    assert panel.best.family == "Gaussian"
    assert panel.weights.size == 9000
    assert (panel.weights.mean(), panel.weights.std()) == pytest.approx((0, 1), abs=1e-9)
    assert panel.stds == pytest.approx((0.01, 1.0), rel=0.05)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_kernels_that_diverged_are_left_out(value: float) -> None:
    kernels = [("a", "conv", GAUSSIAN), ("b", "conv", np.array([0.0, value])), ("c", "add", np.array([1.0, value]))]
    (panel,) = by_operator(kernels)
    assert (panel.operator, panel.weights.size) == ("conv", GAUSSIAN.size)


def test_panels_go_by_layer_and_by_operator() -> None:
    weights = np.array([0.0, 1.0, 3.0])
    kernels = [
        ("net.layers.1.0.kernels.shared", "add", weights),
        ("net.layers.0.0.kernels.shared", "shift", weights),
        ("net.layers.1.0.kernels.shared", "conv", weights),
        ("net.layers.1.0.blocks.conv.pegs", "conv", weights),
        ("net.layers.0.0.blocks.shift.pegs", "shift", np.zeros(9)),
    ]
    layers = by_layer(kernels)
    assert [(panel.layer, panel.operator, panel.weights.size) for panel in layers] == [
        ("layers.1.0", "conv", 6),
        ("layers.1.0", "add", 3),
        ("layers.0.0", "shift", 3),  # and not the kernel without any shape
    ]
    assert [(panel.layer, panel.operator) for panel in by_operator(kernels)] == [
        ("", "conv"),
        ("", "add"),
        ("", "shift"),
    ]
    assert grid(layers) == ([(0, 0), (0, 1), (1, 2)], (2, 3))


def test_layers_of_one_operator_stand_without_gaps() -> None:
    weights = np.array([0.0, 1.0, 3.0])
    panels = by_layer([(f"stages.{n}", "add" if n % 2 else "conv", weights) for n in range(6)])
    assert grid(panels) == ([(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1)], (2, 4))


@pytest.mark.parametrize(
    ("paths", "layers"),
    [
        (["fabric.layers.3.1.kernels.shared", "fabric.layers.10.2.blocks.add.pegs"], ["layers.3.1", "layers.10.2"]),
        (["stages.0.1.conv1", "stages.0.1.conv2", "stem.0"], ["stages.0.1", "stages.0.1", "stem.0"]),
        (["encoder.layers.0.fc1", "encoder.layers.1.fc1"], ["layers.0", "layers.1"]),
        (["encoder.layers.0.fc1", "decoder.layers.0.fc1"], ["encoder.layers.0", "decoder.layers.0"]),
        (["conv1", "layer1.0.conv1", "fc"], ["conv1", "layer1.0", "fc"]),
        (["features"], ["features"]),
    ],
)
def test_names_of_layers(paths: list[str], layers: list[str]) -> None:
    assert [layer_names(paths)[path] for path in paths] == layers
