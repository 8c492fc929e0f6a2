"""Networks in integers: every bit of an independent evaluation, close to the float network, saved as data."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import integers
import pytest
import torch
from networks import EveryLayer, example, mixed
from torch import Tensor, nn

from shiftaddnas.errors import UserError
from shiftaddnas.export import IntegerNetwork, export_integer, integer_network
from shiftaddnas.ops import AdderConv2d, ShiftConv2d
from tasks.image_classification import HybridSpace
from tasks.image_classification.blocks import ResidualBlock


class PythonIntegers:
    """Stands in for the operator of a block and computes it with Python's integers, on the scales of an export."""

    def __init__(self, operator: Any, scales: Iterator[int]) -> None:
        self.operator, self.scales = operator, scales

    def convolve(
        self, x: Tensor, tensors: tuple[Tensor, ...], *, bias: Tensor | None = None, **geometry: Any
    ) -> Tensor:
        pairs = {name: (geometry.get(name, default),) * 2 for name, default in (("stride", 1), ("padding", 0))}
        settings = {**pairs, "dilation": (1, 1), "groups": geometry.get("groups", 1)}
        adder = self.operator.name == "add"
        weight = tensors[0] if adder else self.operator.weight(tensors)
        layer = integers.adder_layer if adder else integers.shift_layer
        y = torch.from_numpy(layer(x.numpy(), weight.detach().numpy(), next(self.scales), **settings))
        return y if bias is None else y + bias.view(-1, 1, 1)


@pytest.mark.slow
def test_a_whole_network_has_the_bits_of_pythons_integers(digits_space: HybridSpace) -> None:
    network, inputs = example("digits", digits_space)
    exported = integer_network(network, [[inputs]])
    scales = iter([layer.scale for layer in exported.layers])
    reference = copy.deepcopy(network)
    for block in reference.modules():
        if isinstance(block, ResidualBlock) and block.name in ("add", "shift"):
            block.operator = PythonIntegers(block.operator, scales)  # type: ignore[assignment]
    with torch.no_grad():
        expected = reference(inputs[:2])
    assert next(scales, None) is None
    assert exported(inputs[:2]).tolist() == expected.tolist()


@pytest.mark.parametrize("name", ["layers", "digits"])
def test_integers_are_close_to_the_network(name: str, digits_space: HybridSpace) -> None:
    network, inputs = example(name, digits_space)
    batch = inputs.repeat(2, 1, 1, 1)
    with torch.no_grad():
        expected = network(batch)
    # 15 bits of magnitude in each layer; batch norm takes away the mean of an adder's outputs, but not their error.
    error = (integer_network(network, [[inputs]])(batch) - expected).abs().max() / expected.abs().max()
    assert 0 < error < 1e-2


def test_every_shift_and_adder_layer_is_in_integers(digits_space: HybridSpace) -> None:
    network, inputs = example("digits", digits_space)
    kinds = [layer.kind for layer in integer_network(network, [[inputs]]).layers]
    arch = mixed(digits_space)
    assert digits_space.describe(arch)  # conv, shift, add, shift, attention, add
    blocks = [("shift", "down"), ("add", "same"), ("shift", "down"), ("add", "same")]
    expected = [kind for kind, entry in blocks for _ in range(5 if entry == "down" else 4)]
    assert sorted(kinds) == sorted(expected)


def test_a_file_is_data_and_loads_again(tmp_path: Path) -> None:
    network, inputs = example("layers", None)  # type: ignore[arg-type]
    path = tmp_path / "network.integer.pt"
    export_integer(network, [[inputs], [2 * inputs]], path)
    content = torch.load(path, weights_only=True)
    assert set(content) == {"format", "graph"}
    loaded, made = IntegerNetwork.load(path), integer_network(network, [[inputs], [2 * inputs]])
    assert torch.equal(loaded(inputs), made(inputs))
    assert loaded.layers == made.layers
    integers_in_file = {str(tensor.dtype) for tensor in content["graph"]["constants"].values()}
    assert integers_in_file == {"torch.float32", "torch.int16", "torch.int8"}
    assert loaded(inputs[:1]).shape == (1, 3)


def test_scales_come_from_all_batches() -> None:
    layer = ShiftConv2d(4, 4, 1)
    inputs = torch.rand(2, 4, 3, 3)
    inputs[0, 0, 0, 0] = 1
    assert [one.scale for one in integer_network(layer, [[inputs]]).layers] == [-14]
    assert [one.scale for one in integer_network(layer, [[inputs], [4 * inputs]]).layers] == [-12]


def test_an_adders_kernel_and_input_share_the_scale_of_the_larger() -> None:
    layer = AdderConv2d(4, 4, 1)
    nn.init.constant_(layer.weight, 100)
    (one,) = integer_network(layer, [[torch.rand(2, 4, 3, 3)]]).layers
    assert one.scale == -8  # 100 2^8 = 25600


def test_sizes_of_weights() -> None:
    adder, shift = AdderConv2d(3, 8, 3), ShiftConv2d(3, 8, 3)
    with torch.no_grad():
        shift.get_parameter("weight").fill_(0.5)[0, 0, 0, 0] = -(2.0**-7)
    (one,) = integer_network(adder, [[torch.rand(2, 3, 5, 5)]]).layers
    assert (one.kind, one.num_weights, one.packed_bytes, one.float32_bytes) == ("add", 216, 432, 864)
    (one,) = integer_network(shift, [[torch.rand(2, 3, 5, 5)]]).layers
    # Exponents -7 to -1 with a sign: 14 codes, 4 bits.
    assert (one.kind, one.num_weights, one.bits, one.packed_bytes, one.float32_bytes) == ("shift", 216, 4, 108, 864)
    with torch.no_grad():
        shift.get_parameter("weight")[0, 0, 0, 0] = 0
        shift.get_parameter("weight")[0, 0, 0, 1] = -1
    # Exponents -1 and 0 with a sign, and zero: 5 codes, 3 bits.
    assert integer_network(shift, [[torch.rand(2, 3, 5, 5)]]).layers[0].bits == 3


class TwiceTheSameWeight(nn.Module):
    """Two adders with one kernel, on inputs of different size."""

    def __init__(self) -> None:
        super().__init__()
        self.adder = AdderConv2d(4, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.adder(x) + self.adder(1000 * x)
        return y


def test_a_kernel_in_two_layers_has_the_scale_of_each() -> None:
    network, inputs = TwiceTheSameWeight().eval(), torch.randn(2, 4, 3, 3)
    exported = integer_network(network, [[inputs]])
    small, large = (layer.scale for layer in exported.layers)
    assert large - small >= 9
    with torch.no_grad():
        expected = network(inputs)
    torch.testing.assert_close(exported(inputs), expected, rtol=1e-3, atol=0.1)


def test_a_network_without_such_layers_is_refused() -> None:
    with pytest.raises(UserError, match="no shift or adder layers"):
        integer_network(nn.Conv2d(1, 2, 3), [[torch.randn(2, 1, 4, 4)]])


def test_exponents_that_lie_too_far_apart_are_refused() -> None:
    layer = ShiftConv2d(1, 1, 1, weight_bits=7)
    wide = ShiftConv2d(2, 1, 1, weight_bits=7)
    with torch.no_grad():
        wide.get_parameter("weight").copy_(torch.tensor([1.0, 2.0**-60]).view(1, 2, 1, 1))
    integer_network(layer, [[torch.randn(2, 1, 2, 2)]])
    with pytest.raises(UserError, match=r"exponents from -60 to 0.*weight_bits"):
        integer_network(wide, [[torch.randn(2, 2, 2, 2)]])


def test_activations_that_are_not_finite_are_refused() -> None:
    inputs = torch.randn(2, 4, 8, 8)
    inputs[0, 0, 0, 0] = torch.nan
    with pytest.raises(UserError, match="finite"):
        integer_network(EveryLayer(), [[inputs]])


@pytest.mark.parametrize("content", [b"no file of torch", None])
def test_another_file_is_refused(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "network.integer.pt"
    if content is None:
        torch.save({"state_dict": {}}, path)
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match="is no file of the format"):
        IntegerNetwork.load(path)


def test_a_file_cannot_call_what_it_likes(tmp_path: Path) -> None:
    path = tmp_path / "network.integer.pt"
    network, inputs = example("layers", None)  # type: ignore[arg-type]
    export_integer(network, [[inputs]], path)
    content = torch.load(path, weights_only=True)
    content["graph"]["calls"][0]["function"] = "profiler._record_function_enter_new.default"
    torch.save(content, path)
    with pytest.raises(UserError, match="is no file of the format"):
        IntegerNetwork.load(path)


@pytest.mark.parametrize("where", ["inputs", "constants", "kwargs"])
def test_a_name_in_a_file_is_not_run(where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = 'x=print("code of a file has run")'
    path = tmp_path / "network.integer.pt"
    network, inputs = example("layers", None)  # type: ignore[arg-type]
    export_integer(network, [[inputs]], path)
    content = torch.load(path, weights_only=True)
    graph = content["graph"]
    if where == "inputs":
        graph["inputs"][0] = code
    elif where == "constants":
        graph["constants"][code] = torch.zeros(1)
    else:
        graph["calls"][0]["kwargs"][code] = 1
    torch.save(content, path)
    with pytest.raises(UserError, match="is no file of the format"):
        IntegerNetwork.load(path)
    assert "has run" not in capsys.readouterr().out


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.7, 0.9, 0.99])
def test_a_truncated_file_is_refused(share: float, tmp_path: Path) -> None:
    path = tmp_path / "network.integer.pt"
    network, inputs = example("layers", None)  # type: ignore[arg-type]
    export_integer(network, [[inputs]], path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(UserError, match="is no file of the format"):
        IntegerNetwork.load(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.pt does not exist"):
        IntegerNetwork.load(tmp_path / "none.pt")
