from dataclasses import replace
from itertools import product
from typing import Any, get_args

import pytest
import torch

from shiftaddnas.errors import UserError
from shiftaddnas.hardware import Arithmetic, Layer
from shiftaddnas.latency import layer_call
from shiftaddnas.ops import power_of_two
from tasks.image_classification import HybridSpace
from tasks.image_classification.layers import ImageWorkload

ARITHMETICS: tuple[Arithmetic, ...] = get_args(Arithmetic)
CONV = Layer("a", "", "conv2d", "mult", N=2, C=4, M=6, H=9, W=7, E=9, F=7, R=3, S=3, padding=1)
# E and F are worked out by hand: floor((H + 2 padding - dilation (R - 1) - 1) / stride) + 1
CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "same": {},
    "stride": {"stride": 2, "E": 5, "F": 4},
    "groups": {"groups": 2},
    "depthwise": {"groups": 4, "M": 4},
    "dilation": {"dilation": 2, "padding": 2},
    "unpadded": {"padding": 0, "E": 7, "F": 5},
    "pointwise": {"R": 1, "S": 1, "padding": 0},
    "one axis": {"W": 1, "F": 1, "S": 1},  # padding along the other axis alone
    "causal": {"W": 1, "F": 1, "S": 1, "padding": 2},  # padding on one side alone
    "repeated": {"repeat": 3},
    "patches": {"R": 4, "S": 4, "stride": 4, "padding": 0, "H": 8, "W": 8, "E": 2, "F": 2},
}


@pytest.mark.parametrize(("arithmetic", "which"), list(product(ARITHMETICS, CONVOLUTIONS)))
def test_a_convolution_gives_the_map_that_its_layer_names(arithmetic: Arithmetic, which: str) -> None:
    layer = replace(CONV, arithmetic=arithmetic, **CONVOLUTIONS[which])
    assert layer_call(layer)().shape == (layer.N, layer.M, layer.E, layer.F)


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
@pytest.mark.parametrize("groups", [1, 2])
def test_a_linear_layer_gives_its_features(arithmetic: Arithmetic, groups: int) -> None:
    layer = Layer("a", "", "linear", arithmetic, N=5, C=4, M=6, groups=groups)
    assert layer_call(layer)().flatten(1).shape == (5, 6)


@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_a_matrix_product_is_one_batch(arithmetic: Arithmetic) -> None:
    layer = Layer("a", "", "matmul", arithmetic, N=5, C=4, M=6, repeat=3, second_operand="activation")
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(3, 5, 4, generator=generator), torch.randn(3, 4, 6, generator=generator)
    expected = {
        "mult": torch.einsum("hnc,hcm->hnm", a, b),
        "add": -(a[:, :, :, None] - b[:, None]).abs().sum(2),
        "shift": torch.einsum("hnc,hcm->hnm", a, power_of_two(b)),
    }
    torch.testing.assert_close(layer_call(layer)(), expected[arithmetic])


def test_repetitions_are_done_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    call = layer_call(replace(CONV, repeat=3))
    calls = []
    forward = torch.nn.Conv2d.forward
    monkeypatch.setattr(torch.nn.Conv2d, "forward", lambda *given: calls.append(1) or forward(*given))
    call()
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight_bits": 8}, "8-bit weights"),
        ({"act_bits": 16}, "16-bit activations"),
        ({"groups": 3}, "cannot be computed"),
        ({"E": 0}, "cannot be computed"),
    ],
)
def test_a_layer_that_cannot_be_timed_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        layer_call(replace(CONV, **change))
    assert "op=conv2d" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_every_layer_of_the_image_spaces_can_be_timed(digits_space: HybridSpace) -> None:
    for term in digits_space.all_terms():
        for layer in digits_space.layers(term, ImageWorkload(8, 1, 10)):
            layer_call(layer)
