"""Optimiser groups and the learning-rate schedule, against their formulas."""

import math
from functools import partial

import numpy as np
import pytest
import timm
import torch
from torch import nn

from composed import built
from shiftaddnas.engine import Optimization, cosine_with_warmup, deit_cosine
from shiftaddnas.errors import UserError
from tasks.image_classification import HybridSpace
from tasks.image_classification.searched import SearchedNet, stages_of


def test_vectors_are_not_decayed_and_operators_have_their_own_rate() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1, bias=False))
    optimization = Optimization(
        partial(torch.optim.AdamW, lr=0.1, weight_decay=0.05), operator_lr={"shift": 3.0, "absent": 2.0}
    )
    configured = optimization.configure(model, 10, {"shift": model[1].parameters()})
    groups = {
        id(parameter): (group["weight_decay"], round(group["lr"], 6))
        for group in configured["optimizer"].param_groups
        for parameter in group["params"]
    }
    assert groups[id(model[0].weight)] == (0.05, 0.1)
    assert groups[id(model[0].bias)] == (0.0, 0.1)
    assert groups[id(model[1].weight)] == (0.05, 0.3)
    assert "lr_scheduler" not in configured


def test_operators_that_share_a_kernel_share_its_rate() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    operators = {"conv": [*model[0].parameters()], "shift": [*model.parameters()]}
    for factors in ({"shift": 3.0}, {"conv": 3.0, "shift": 3.0}):
        configured = Optimization(partial(torch.optim.SGD, lr=0.1), operator_lr=factors).configure(model, 10, operators)
        assert {round(group["lr"], 6) for group in configured["optimizer"].param_groups} == {0.3}
    with pytest.raises(UserError, match=r"optim\.operator_lr=.*shares kernels"):
        Optimization(partial(torch.optim.SGD, lr=0.1), operator_lr={"conv": 1.0, "shift": 3.0}).configure(
            model, 10, operators
        )


@pytest.mark.parametrize("factor", [0.0, -3.0])
def test_a_rate_must_be_above_zero(factor: float) -> None:
    with pytest.raises(UserError, match=r"optim\.operator_lr\.shift=.*above 0"):
        Optimization(partial(torch.optim.SGD, lr=0.1), operator_lr={"shift": factor})


def test_cosine_with_warmup_follows_its_formula() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = cosine_with_warmup(optimizer, total_steps=100, warmup=0.1, final=0.01)
    rates = []
    for _ in range(101):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert rates[:10] == pytest.approx([2.0 * (step + 1) / 10 for step in range(10)])
    assert rates[10] == pytest.approx(2.0)
    assert rates[55] == pytest.approx(2.0 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * 0.5))))
    assert rates[100] == pytest.approx(0.02)


def test_any_schedule_of_torch_fits() -> None:
    model = nn.Linear(2, 1)
    schedule = partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=1.0)
    configured = Optimization(partial(torch.optim.SGD, lr=0.1), schedule).configure(model, 10)
    assert configured["lr_scheduler"]["interval"] == "step"
    assert configured["lr_scheduler"]["scheduler"].total_steps == 10


RELEASED_RATES = {0: 1e-6, 1: 1e-6, 2: 2.008e-4, 6: 9.99322e-4, 299: 1.01086e-5}
"""By epoch, in the training logs that ShiftAddNAS (ICML 2022) released."""


def test_the_schedule_of_deit_gives_the_released_rates() -> None:
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 1, bias=False))
    optimization = Optimization(partial(torch.optim.AdamW, lr=1e-3), deit_cosine, interval="epoch")
    configured = optimization.configure(model, 375_000, num_epochs=300)
    assert configured["lr_scheduler"]["interval"] == "epoch"
    rates = []
    for _ in range(300):
        rates.append(configured["optimizer"].param_groups[0]["lr"])
        configured["optimizer"].step()
        configured["lr_scheduler"]["scheduler"].step()
    assert {epoch: float(f"{rates[epoch]:.6g}") for epoch in RELEASED_RATES} == RELEASED_RATES


def test_a_schedule_by_epochs_needs_their_number() -> None:
    optimization = Optimization(partial(torch.optim.SGD, lr=1e-3), deit_cosine, interval="epoch")
    with pytest.raises(UserError, match=r"needs trainer\.max_epochs"):
        optimization.configure(nn.Linear(1, 1), 10, num_epochs=-1)


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"layer_decay": 0.0}, "optim.layer_decay=0.0; allowed"), ({"ema_decay": 1.0}, "optim.ema_decay=1.0; allowed")],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Optimization(partial(torch.optim.SGD, lr=0.1), **settings)


def rates_by_name(network: nn.Module, layer_decay: float) -> dict[str, float]:
    """The starting rates, relative to the full one."""
    optimization = Optimization(partial(torch.optim.SGD, lr=1.0), layer_decay=layer_decay)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    groups = optimization.configure(network, 1)["optimizer"].param_groups
    rates = {names[id(parameter)]: group["lr"] for group in groups for parameter in group["params"]}
    assert rates.keys() == set(names.values())
    return rates


def test_layers_of_a_vision_transformer_learn_ever_slower_towards_the_image() -> None:
    network = timm.create_model("vit_tiny_patch16_224", depth=3, num_classes=10)
    rates = rates_by_name(network, 0.5)
    # Patch embedding, three blocks, the last normalisation and the head: powers of 1/2, as BEiT counts.
    assert rates["head.weight"] == 1
    assert rates["norm.weight"] in (1, 0.5)
    assert rates["blocks.2.attn.qkv.weight"] / rates["blocks.1.mlp.fc1.bias"] == 2
    assert rates["blocks.1.attn.qkv.weight"] / rates["blocks.0.norm1.weight"] == 2
    assert rates["blocks.0.attn.qkv.weight"] / rates["patch_embed.proj.weight"] == 2
    assert rates["cls_token"] == rates["pos_embed"] == rates["patch_embed.proj.weight"]


def test_blocks_of_a_searched_network_are_its_layers() -> None:
    with torch.device("meta"):
        network = SearchedNet(stages_of([[1], [1, 3], [0], [2, 0]]), distilled=True)
    rates = rates_by_name(network, 0.5)
    expected = {"head": 0, "stages.3.1": 1, "stages.3.0": 2, "stages.2.0": 3, "stages.1.1": 4, "stages.1.0": 5}
    expected |= {"head_distilled": 0, "stages.0.0": 6, "stem": 7}
    for name, rate in rates.items():
        prefix = next(prefix for prefix in expected if name.startswith(f"{prefix}."))
        assert rate == 0.5 ** expected[prefix], name


def test_layers_of_a_subnet_are_its_layers(digits_space: HybridSpace) -> None:
    arch = digits_space.sample(np.random.default_rng(0))
    network = built("task", "task=digits").standalone(digits_space, arch)
    rates = rates_by_name(network, 0.5)
    num_layers = len(network.steps)
    for name, rate in rates.items():
        part, number = name.split(".")[1:3]
        from_the_end = num_layers - int(number) if part == "layers" else 0 if part == "head" else num_layers + 1
        assert rate == 0.5**from_the_end, name


def test_a_network_that_names_no_layers_is_refused() -> None:
    with pytest.raises(UserError, match="Linear does not say what its layers are"):
        rates_by_name(nn.Linear(1, 1), 0.5)


def test_impossible_rates_are_refused() -> None:
    with pytest.raises(UserError, match=r"optim\.optimizer refuses .*learning rate"):
        Optimization(partial(torch.optim.AdamW, lr=-1.0)).configure(nn.Linear(1, 1), 10)
    optimization = Optimization(partial(torch.optim.AdamW, lr=0.0), deit_cosine, interval="epoch")
    with pytest.raises(UserError, match=r"optim\.optimizer\.lr=0"):
        optimization.configure(nn.Linear(1, 1), 10, num_epochs=3)
