"""Which weights of a network are looked at: as operators get them, each kernel once."""

import numpy as np
import torch
from torch import nn

from shiftaddnas.engine.kernels import read_kernels
from shiftaddnas.ops import Add, AdderConv2d, Conv, KernelOperator, Shift, ShiftConv2d
from shiftaddnas.sharing import Heterogeneous, Independent
from tasks.image_classification import HybridSpace
from tasks.image_classification.layers import ImageWorkload
from tasks.image_classification.supernet import HybridSupernet

OPERATORS: dict[str, KernelOperator] = {"conv": Conv(), "add": Add(), "shift": Shift()}
DIGITS = ImageWorkload(image_size=8, in_channels=1, num_classes=10)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_shared_kernels_are_read_behind_their_maps() -> None:
    slot = Heterogeneous().slot(OPERATORS, {"conv1": (8, 16, 1, 1)}, generator())
    network = nn.ModuleDict({"slot": slot, "head": nn.Linear(3, 2)})
    found = {kernel.operator: kernel for kernel in read_kernels(network)}
    assert set(found) == {"conv", "add", "shift"}
    for operator, kernel in found.items():
        assert kernel.path == "slot"
        np.testing.assert_array_equal(kernel.weights, slot.weights(operator, "conv1")[0].detach().double().flatten())
    assert np.std(found["add"].weights) > 2 * np.std(found["conv"].weights)


def test_every_kernel_of_a_supernet_is_read_once(digits_space: HybridSpace) -> None:
    supernet = HybridSupernet(digits_space, DIGITS, Independent())
    kernels = list(read_kernels(supernet, max_weights=1_000_000))
    owned = [parameter for name, parameter in supernet.named_parameters() if ".own." in name]
    assert sum(kernel.weights.size for kernel in kernels) == sum(parameter.numel() for parameter in owned)
    assert {kernel.operator for kernel in kernels} == {"attention", "conv", "add", "shift"}


def test_layers_without_choices_are_read_by_their_type() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 2, 3), AdderConv2d(2, 3, 1), ShiftConv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Linear(4, 5)
    )
    found = [(kernel.path, kernel.operator, kernel.weights.size) for kernel in read_kernels(network)]
    assert found == [("0", "conv", 18), ("1", "add", 6), ("2", "shift", 12), ("4", "linear", 20)]


def test_beside_choices_cheap_layers_are_read_and_others_are_not() -> None:
    slot = Independent().slot({"conv": Conv()}, {"conv1": (2, 2, 1, 1)}, generator())
    network = nn.ModuleDict({"slot": slot, "shift": ShiftConv2d(2, 2, 1), "stem": nn.Conv2d(1, 2, 3)})
    assert [(kernel.path, kernel.operator) for kernel in read_kernels(network)] == [
        ("slot", "conv"),
        ("shift", "shift"),
    ]


def test_layers_that_an_operator_has_beside_it_are_called_by_what_they_compute() -> None:
    network = nn.ModuleDict(
        {
            "taps": Independent().slot({"shiftadd": Add(), "add": Add()}, {"taps": (2, 1, 3, 1)}, generator()),
            "linears": Independent().slot({"shiftadd": Conv(), "add": Conv()}, {"one": (2, 2, 1, 1)}, generator()),
            "attention": Independent().slot({"attention": Conv()}, {"qkv": (6, 2, 1, 1)}, generator()),
        }
    )
    assert [(kernel.path, kernel.operator) for kernel in read_kernels(network)] == [
        ("taps", "shiftadd"),
        ("taps", "add"),
        ("linears", "conv"),
        ("linears", "conv"),
        ("attention", "attention"),
    ]


def test_an_exponent_and_a_sign_are_one_weight() -> None:
    layer = ShiftConv2d(1, 1, (1, 3), form="ps")
    with torch.no_grad():
        layer.shift.copy_(torch.tensor([-1.0, -2.0, -3.5]).view(1, 1, 1, 3))
        layer.sign.copy_(torch.tensor([0.7, -0.9, 0.1]).view(1, 1, 1, 3))
    (kernel,) = read_kernels(layer)
    np.testing.assert_allclose(kernel.weights, [0.5, -0.25, 2**-3.5])


def test_of_a_large_kernel_evenly_spread_weights_are_taken() -> None:
    layer = nn.Conv2d(10, 10, 1)
    (kernel,) = read_kernels(layer, max_weights=30)
    np.testing.assert_array_equal(kernel.weights, layer.weight.detach().double().flatten()[::4])
