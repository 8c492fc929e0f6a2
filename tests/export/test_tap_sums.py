"""Adder layers unrolled over taps against the definition, and the bound on what they hold."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from shiftaddnas.export import taps
from shiftaddnas.export.taps import AdderTaps, geometry_of, kernel_taps
from shiftaddnas.ops.geometry import Geometry

# channels, filters, kernel, stride, padding, dilation, groups
LAYERS = {
    "pointwise": (5, 7, (1, 1), 1, 0, 1, 1),
    "3x3": (3, 4, (3, 3), 1, 1, 1, 1),
    "strided": (3, 4, (3, 3), 2, 1, 1, 1),
    "dilated": (2, 3, (3, 3), 1, 2, 2, 1),
    "grouped": (4, 6, (3, 3), 1, 1, 1, 2),
    "depthwise": (4, 4, (3, 3), 1, 1, 1, 4),
    "depthwise, strided, two filters a channel": (3, 6, (3, 3), 2, 1, 1, 3),
    "sides apart": (2, 4, (3, 2), (2, 1), (0, 2), (1, 3), 2),
    "shortcut, 3 taps in steps of 2 without padding": (3, 2, (3, 3), 2, 0, 1, 1),
}


def definition(x: np.ndarray, weight: np.ndarray, geometry: Geometry) -> np.ndarray:
    """-sum |x - w| in plain loops, with zeros around the map."""
    (pad_r, pad_s), (step_r, step_s), (dil_r, dil_s) = geometry.padding, geometry.stride, geometry.dilation
    padded = np.pad(x, ((0, 0), (0, 0), (pad_r, pad_r), (pad_s, pad_s)))
    filters, width, R, S = weight.shape
    y = np.zeros((x.shape[0], filters, *geometry.output_size))
    for b, f, e, m in np.ndindex(*y.shape):
        first = f // (filters // geometry.groups) * width
        for c, r, s in itertools.product(range(width), range(R), range(S)):
            value = padded[b, first + c, e * step_r + r * dil_r, m * step_s + s * dil_s]
            y[b, f, e, m] -= abs(value - weight[f, c, r, s])
    return y


def layer(name: str) -> tuple[Tensor, Tensor, Geometry]:
    channels, filters, kernel, stride, padding, dilation, groups = LAYERS[name]
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, channels, 7, 6, generator=generator, dtype=torch.float64)
    weight = torch.randn(filters, channels // groups, *kernel, generator=generator, dtype=torch.float64)
    return x, weight, Geometry.of(x, weight, stride, padding, dilation, groups)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("max_elements", [2**20, 1])
def test_taps_sum_to_the_definition(name: str, max_elements: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taps, "MAX_ELEMENTS", max_elements)
    x, weight, geometry = layer(name)
    y = AdderTaps(weight, geometry)(x)
    np.testing.assert_allclose(y.numpy(), definition(x.numpy(), weight.numpy(), geometry), rtol=1e-12)


def test_a_geometry_survives_as_a_list_of_sizes() -> None:
    _, _, geometry = layer("sides apart")
    assert geometry_of(geometry.axes, geometry.groups) == geometry


@pytest.mark.parametrize(
    ("shape", "size", "groups"),
    [((64, 64, 3, 3), 56, 1), ((128, 128, 3, 3), 14, 1), ((512, 512, 1, 1), 1, 1), ((64, 8, 3, 3), 56, 8)],
)
def test_filters_that_are_compared_at_once_fit_the_bound(shape: tuple[int, ...], size: int, groups: int) -> None:
    weight = torch.zeros(shape)
    x = torch.zeros(1, shape[1] * groups, size, size)
    padding = shape[2] // 2
    chunks = kernel_taps(weight, Geometry.of(x, weight, 1, padding, 1, groups))
    for chunk in chunks:
        assert len(chunk) == shape[2] * shape[3]
        assert chunk[0][..., 0, 0].numel() * size**2 <= 2**20
    assert sum(chunk[0].shape[1] for chunk in chunks) == shape[0] // groups


def test_depthwise_layers_are_not_broadcast() -> None:
    _, weight, geometry = layer("depthwise")
    ((first, *_),) = kernel_taps(weight, geometry)
    assert first.shape == (4, 1, 1, 1, 1)
