"""Supernet and subnets: the same network, with the layers that the space prices."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from composed import built
from shiftaddnas.hardware import Layer
from shiftaddnas.sharing import SCHEMES
from shiftaddnas.spaces import Arch
from shiftaddnas.testing.supernet import check_supernet
from shiftaddnas.tracing import trace_layers
from tasks.image_classification import HybridSpace
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


def without_names(layers: tuple[Layer, ...]) -> Counter[Layer]:
    return Counter(replace(layer, name="", role="") for layer in layers)


@pytest.mark.parametrize("shift_form", ["q", "ps"])
def test_the_network_computes_the_layers_that_are_priced(shift_form: str) -> None:
    space: HybridSpace = built("space", f"space.shift_form={shift_form}")
    torch.manual_seed(0)
    for arch in some_archs(space):
        trace = trace_layers(HybridSubnet(space, WORKLOAD, arch), torch.randn(1, 1, 8, 8))
        assert not trace.notes
        assert without_names(trace.layers) == without_names(space.arch_layers(arch, WORKLOAD)), space.describe(arch)


def test_a_large_network_computes_the_layers_that_are_priced(hytra_space: HybridSpace) -> None:
    arch = hytra_space.sample(np.random.default_rng(0))
    workload = ImageWorkload(64, 3, 1000)
    trace = trace_layers(HybridSubnet(hytra_space, workload, arch), torch.randn(1, 3, 64, 64))
    assert without_names(trace.layers) == without_names(hytra_space.arch_layers(arch, workload))


def test_a_supernet_computes_what_is_priced_too(digits_space: HybridSpace) -> None:
    supernet = HybridSupernet(digits_space, WORKLOAD, SCHEMES["heterogeneous"]())
    for arch in some_archs(digits_space):
        layers = trace_layers(supernet, torch.randn(1, 1, 8, 8), arch).layers
        computed, priced = (
            Counter(replace(layer, name="", role="", num_params=0) for layer in some)
            for some in (layers, digits_space.arch_layers(arch, WORKLOAD))
        )
        assert computed == priced, digits_space.describe(arch)


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
