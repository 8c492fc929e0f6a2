"""Optimiser groups and the learning-rate schedule, against their formulas."""

import math
from functools import partial

import pytest
import torch
from torch import nn

from shiftaddnas.engine import Optimization, cosine_with_warmup


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
