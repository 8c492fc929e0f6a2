"""Supernet and subnets: the same network, with the layers that the space prices."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from composed import built
from shiftaddnas.hardware import Layer
from shiftaddnas.ops import KernelOperator
from shiftaddnas.sharing import SCHEMES
from shiftaddnas.spaces import Arch
from shiftaddnas.testing.supernet import check_supernet
from tasks.image_classification import HybridSpace
from tasks.image_classification.blocks import ResidualBlock
from tasks.image_classification.layers import ImageWorkload
from tasks.image_classification.supernet import HybridSubnet, HybridSupernet

WORKLOAD = ImageWorkload(8, 1, 10)


def some_archs(space: HybridSpace) -> list[Arch]:
    """Archs that use every operator at every level and entry of the digits space, and some random ones."""
    rng = np.random.default_rng(0)
    base = [space.sample(rng) for _ in range(3)]
    same = [
        space.arch({"depths": (2, 2, 2)} | {f"layer_{layer}": name for layer in range(6)})
        for name in ("conv", "add", "shift")
    ]
    attentive = space.arch(
        {"depths": (1, 1, 4)} | {f"layer_{layer}": "conv" if layer < 2 else "attention" for layer in range(6)}
    )
    return [*base, *same, attentive]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_extract_is_activate(digits_space: HybridSpace, scheme: str) -> None:
    torch.manual_seed(0)
    supernet = HybridSupernet(digits_space, WORKLOAD, SCHEMES[scheme]())
    for module in supernet.modules():  # the last normalisation of a block starts at 0, which would hide the block
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    check_supernet(supernet, some_archs(digits_space), torch.randn(16, 1, 8, 8), WORKLOAD)


def test_exponent_and_sign_form_is_extracted_too() -> None:
    space: HybridSpace = built("space", "space.shift_form=ps")
    torch.manual_seed(0)
    supernet = HybridSupernet(space, WORKLOAD, SCHEMES["independent"]())
    check_supernet(supernet, some_archs(space), torch.randn(16, 1, 8, 8), WORKLOAD)


class Recorder:
    """Stands in for a block's operator and notes what it is asked to convolve."""

    def __init__(self, operator: KernelOperator, seen: list[tuple[Any, ...]]) -> None:
        self.operator, self.seen = operator, seen

    def convolve(self, x: Tensor, tensors: tuple[Tensor, ...], **kwargs: Any) -> Tensor:
        y = self.operator.convolve(x, tensors, **kwargs)
        self.seen.append((self.operator.arithmetic, *conv_shape(x, y, tensors[0], **kwargs)))
        return y


def conv_shape(x: Tensor, y: Tensor, kernel: Tensor, *, stride: int = 1, groups: int = 1, **_: Any) -> tuple[int, ...]:
    return x.shape[1], y.shape[1], x.shape[2], y.shape[2], kernel.shape[2], stride, groups


@contextmanager
def recorded(network: HybridSubnet) -> Iterator[list[tuple[Any, ...]]]:
    seen: list[tuple[Any, ...]] = []

    def note(module: nn.Conv2d, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        shape = conv_shape(inputs[0], output, module.weight, stride=module.stride[0], groups=module.groups)
        seen.append(("mult", *shape))

    handles = [module.register_forward_hook(note) for module in network.modules() if isinstance(module, nn.Conv2d)]
    for block in network.modules():
        if isinstance(block, ResidualBlock):
            block.operator = Recorder(block.operator, seen)  # type: ignore[assignment]
    yield seen
    for handle in handles:
        handle.remove()


def priced(layer: Layer) -> tuple[Any, ...]:
    return layer.arithmetic, layer.C, layer.M, layer.H, layer.E, layer.R, layer.stride, layer.groups


def test_the_network_computes_the_layers_that_are_priced(digits_space: HybridSpace) -> None:
    for arch in some_archs(digits_space):
        network = HybridSubnet(digits_space, WORKLOAD, arch)
        with recorded(network) as seen:
            network(torch.randn(2, 1, 8, 8))
        expected = [priced(layer) for layer in digits_space.arch_layers(arch, WORKLOAD) if layer.op == "conv2d"]
        assert sorted(map(str, seen)) == sorted(map(str, expected)), digits_space.describe(arch)


def test_attention_products_are_those_of_all_tokens(digits_space: HybridSpace) -> None:
    arch = digits_space.arch(
        {"depths": (1, 1, 4)} | {f"layer_{layer}": "conv" if layer < 2 else "attention" for layer in range(6)}
    )
    products = [layer for layer in digits_space.arch_layers(arch, WORKLOAD) if layer.op == "matmul"]
    # 4 layers at 2x2 maps: 4 tokens, 2 heads of 16 channels; scores 4x16x4 and mix 4x4x16 for each head.
    assert [layer.num_taps for layer in products] == [4 * 16 * 4 * 2, 4 * 4 * 16 * 2] * 4


def test_attention_weights_sum_to_one_over_keys() -> None:
    from tasks.image_classification.blocks import attention

    torch.manual_seed(0)
    q, k = torch.randn(2, 2, 8, 3, 3).unbind(0)
    v = torch.ones(2, 8, 3, 3)
    out = attention(torch.cat([q, k, v], 1), head_dim=4)
    torch.testing.assert_close(out, torch.ones_like(out))


def test_attention_against_the_formula() -> None:
    from tasks.image_classification.blocks import attention

    torch.manual_seed(1)
    qkv = torch.randn(1, 3 * 8, 2, 3, dtype=torch.float64)
    out = attention(qkv, head_dim=4)
    q, k, v = (part.reshape(2, 4, 6) for part in qkv[0].chunk(3))
    for head in range(2):
        scores = torch.einsum("di,dj->ij", q[head], k[head]) / 2.0
        expected = torch.einsum("ij,dj->di", scores.softmax(-1), v[head])
        torch.testing.assert_close(out[0].view(2, 4, 6)[head], expected)


def test_what_no_arch_reaches_is_not_built(hytra_space: HybridSpace) -> None:
    levels = [{step.level for step in steps} for steps in hytra_space.reachable()]
    assert levels == [{0}, {0, 1}, *[{0, 1, 2}] * 2, *[{1, 2}] * 3, {1, 2, 3}, *[{2, 3}] * 4, *[{3}] * 4]


def test_parameter_counts_of_the_schemes(digits_space: HybridSpace) -> None:
    """Independent keeps three kernels where the others keep one; maps add a gain and, learnt, 100 slopes a kernel."""
    counts = {
        name: sum(p.numel() for p in HybridSupernet(digits_space, WORKLOAD, scheme()).parameters())
        for name, scheme in SCHEMES.items()
    }
    elements, num_kernels = 0, 0
    for steps in digits_space.reachable():
        for level in {step.level for step in steps}:
            there = frozenset(step.entry for step in steps if step.level == level)
            shapes = digits_space.shapes.kernels(level, there)
            elements += sum(f * c * r * s for f, c, r, s in shapes.values())
            num_kernels += len(shapes)
    assert counts["independent"] - counts["shared"] == 2 * elements
    assert counts["quantile"] - counts["shared"] == 2 * num_kernels
    assert counts["heterogeneous"] - counts["shared"] == 2 * 101 * num_kernels


def test_freezing_conv_leaves_maps_to_learn(digits_space: HybridSpace) -> None:
    supernet = HybridSupernet(digits_space, WORKLOAD, SCHEMES["heterogeneous"]())
    supernet.freeze(["conv"])
    trained = {name for name, parameter in supernet.named_parameters() if parameter.requires_grad}
    assert any("slopes" in name for name in trained)
    assert not any(".shared." in name and "kernels.shared.shared." in name for name in trained)
    assert any("blocks.add" in name for name in trained)
    assert not any("blocks.conv" in name for name in trained)
    supernet.freeze([])
    assert all(parameter.requires_grad for parameter in supernet.parameters())


def test_gradients_of_what_was_not_sampled_are_none(digits_space: HybridSpace) -> None:
    supernet = HybridSupernet(digits_space, WORKLOAD, SCHEMES["heterogeneous"]())
    arch = digits_space.sample(np.random.default_rng(0))
    (supernet(torch.randn(4, 1, 8, 8), arch).sum() + supernet.regularizer(arch)).backward()
    used = {name for name, parameter in supernet.named_parameters() if parameter.grad is not None}
    subnet_names = {name for name, _ in HybridSubnet(digits_space, WORKLOAD, arch).named_parameters()}
    own = {name for name in used if ".blocks." in name}
    assert own == {name for name in subnet_names if ".blocks." in name}
    assert len(used) < len(list(supernet.parameters()))
