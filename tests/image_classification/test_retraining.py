"""The profile of the retrained networks: its layers are those of the networks, and the limits of the search hold."""

from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from composed import built, compose
from shiftaddnas.errors import UserError
from shiftaddnas.ops.modules import KernelConv2d
from shiftaddnas.spaces import Arch
from shiftaddnas.testing.space import check_space
from tasks.image_classification import HybridSpace
from tasks.image_classification.layers import HeadTerm, ImageWorkload, StemTerm
from tasks.image_classification.searched import SearchedNet
from tasks.image_classification.standalone import standalone_network
from tasks.image_classification.supernet import HybridSubnet

WORKLOAD = ImageWorkload(224, 3, 1000)
V3 = "[1,1],[1,1,1,1],[3,1,0,2,2],[0,0,1,0,0]"
V4 = "[1,1],[1,3,1,1],[3,1,0,3,3],[0,0,1,0,0]"
# Parameters of the released networks without the second head (2,049,000), counted in their code.
SIZES = {("q", V3): 27_859_528, ("ps", V3): 29_369_160, ("q", V4): 27_860_040}
V4_BLOCKS = [
    84_112,
    79_504,
    413_984,
    314_656,
    314_656,
    314_656,
    1_647_168,
    1_251_904,
    726_528,
    1_251_904,
    1_251_904,
    4_471_808,
    2_894_848,
    4_994_176,
    2_894_848,
    2_894_848,
]


def retrained(form: str = "q") -> HybridSpace:
    """Whatever the supernet's positional kernels have, those of the retrained networks have biases."""
    space: HybridSpace = built(
        "space", "space=hytra_hybrid", "space.profile=retrain", f"space.shift_form={form}", "space.peg_bias=[]"
    )
    return space


def searched(space: HybridSpace, notation: str) -> Arch:
    arch = space.read_notation(notation)
    assert arch is not None
    return arch


def trainable_archs(space: HybridSpace, num_archs: int) -> list[Arch]:
    """Random archs whose levels do not begin with an add layer."""
    archs = [space.sample(np.random.default_rng(seed)) for seed in range(200)]
    return [
        arch for arch in archs if not any(step.operator == "add" and step.entry != "same" for step in space.steps(arch))
    ][:num_archs]


@pytest.mark.parametrize(("form", "notation"), SIZES)
def test_the_searched_networks_have_their_released_sizes(form: str, notation: str) -> None:
    space = retrained(form)
    layers = space.arch_layers(searched(space, notation), WORKLOAD)
    assert sum(layer.num_params for layer in layers) == SIZES[form, notation]


def test_every_block_has_its_released_size() -> None:
    space = retrained()
    terms = space.terms(searched(space, V4))
    sizes = {term: sum(layer.num_params for layer in space.layers(term, WORKLOAD)) for term in terms}
    assert [sizes[term] for term in terms[3:]] == V4_BLOCKS
    assert sizes[StemTerm()] == 9_536
    assert sizes[HeadTerm()] == 2_049_000


def traced(network: nn.Module) -> Counter[Any]:
    """The convolutions and linear layers that a network computes for one image, with their number of taps."""
    seen: Counter[Any] = Counter()

    def note(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        kernel = next(module.parameters())
        arithmetic = module.operator.arithmetic if isinstance(module, KernelConv2d) else "mult"
        seen[arithmetic, tuple(kernel.shape[:2]), output[0].numel() * kernel[0].numel()] += 1

    for module in network.modules():
        if isinstance(module, KernelConv2d | nn.Conv2d | nn.Linear):
            module.register_forward_hook(note)
    network(torch.empty(1, 3, 224, 224, device="meta"))
    return seen


@pytest.mark.parametrize("form", ["q", "ps"])
def test_the_priced_layers_are_those_of_the_network(form: str) -> None:
    space = retrained(form)
    archs = [searched(space, V3), searched(space, V4), *trainable_archs(space, 4)]
    assert len(archs) == 6
    for arch in archs:
        with torch.device("meta"):
            network = standalone_network(space, WORKLOAD, arch).eval()
        layers = space.arch_layers(arch, WORKLOAD)
        assert sum(p.numel() for p in network.parameters()) == sum(layer.num_params for layer in layers)
        expected = Counter(
            (layer.arithmetic, (layer.M, layer.C // layer.groups), layer.num_taps)
            for layer in layers
            if layer.op != "matmul"
        )
        assert traced(network) == expected, space.describe(arch)


def test_the_searched_networks_keep_the_limits_of_their_search() -> None:
    """15 to 40 M parameters, 3 to 8 G multiplications and accumulations at 224 pixels (released search)."""
    space = retrained("ps")
    cost = built("hardware").bind(space, WORKLOAD)
    for notation in (V3, V4):
        values = cost(searched(space, notation)).values
        assert 15e6 < values["num_params"] < 40e6
        # The released count, 3.759 G, has normalisations, activations and pools as well.
        assert values["num_macs"] == pytest.approx(3.759e9, rel=0.005)


def test_the_search_experiment_has_the_limits_of_the_released_search() -> None:
    config = compose("search", "experiment=vision/search_retrained")
    assert (config.search.min_num_params, config.search.max_num_params) == (15e6, 40e6)
    assert (config.search.min_num_macs, config.search.max_num_macs) == (3e9, 8e9)
    assert config.search.max_energy_mj is None
    assert config.space.profile == "retrain"


def test_what_is_built_on_its_own_follows_the_profile(hytra_space: HybridSpace) -> None:
    arch = searched(hytra_space, V4)
    with torch.device("meta"):
        assert isinstance(standalone_network(hytra_space, WORKLOAD, arch), HybridSubnet)
        network = standalone_network(retrained(), WORKLOAD, arch)
    assert isinstance(network, SearchedNet)
    assert network.stages[1][1].conv1.operator.form == "q"
    assert network.stages[2][2].mix.product == "standard"


def test_the_profile_conforms_to_what_spaces_promise() -> None:
    check_space(retrained(), WORKLOAD)


def test_an_add_layer_at_the_beginning_of_a_level_is_built_as_it_is_priced() -> None:
    space = retrained()
    arch = searched(space, "[1],[2],[1,1,1,1,1],[0,0,0,0,0,0,0,0,0]")
    (shortcut, *_) = space.layers(space.terms(arch)[4], WORKLOAD)
    assert (shortcut.name, shortcut.arithmetic, shortcut.C, shortcut.M, shortcut.H) == ("shortcut", "add", 256, 512, 28)
    with torch.device("meta"):
        network = standalone_network(space, WORKLOAD, arch)
    num_params = sum(parameter.numel() for parameter in network.parameters())
    assert num_params == sum(layer.num_params for layer in space.arch_layers(arch, WORKLOAD))


def test_other_shapes_are_not_retrained(digits_space: HybridSpace) -> None:
    space: HybridSpace = built("space", "space=digits", "+space.profile=retrain")
    arch = digits_space.sample(np.random.default_rng(0))
    with pytest.raises(UserError, match=r"not of digits; use space\.profile=supernet"):
        standalone_network(space, ImageWorkload(8, 1, 10), arch)


def test_restricted_spaces_keep_their_settings() -> None:
    space: HybridSpace = built("space", "space=hytra_released", "space.profile=retrain")
    restricted = space.restricted(["conv"])
    assert restricted.profile == "retrain"
    assert restricted.build == "all"
    assert restricted.operators == space.operators
    assert [level.idle for level in restricted.levels] == [(), (), (), ("add", "shift")]
