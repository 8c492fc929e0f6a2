"""Learning rates of transformers at the steps of the paper: values by hand from the formulas."""

from functools import partial
from typing import Any

import pytest
import torch

from shiftaddnas.engine import Optimization, linear_then_cosine, linear_then_inverse_sqrt


def rates(lr: float, scheduler: Any, steps: list[int], total_steps: int) -> list[float]:
    model = torch.nn.Linear(1, 1)
    configured = Optimization(partial(torch.optim.SGD, lr=lr), scheduler).configure(model, total_steps)
    scheduler = configured["lr_scheduler"]["scheduler"]
    return [lr * scheduler.lr_lambdas[0](step) for step in steps]


def test_cosine_of_40000_steps() -> None:
    found = rates(1e-3, linear_then_cosine, [0, 1, 5_000, 10_000, 25_000, 32_500, 40_000], 40_000)
    span = 1e-3 - 1e-7
    expected = [
        1e-7,
        1e-7 + span / 10_000,
        1e-7 + span / 2,
        1e-3,
        1e-7 + span / 2,
        1e-7 + span * (1 - 0.5**0.5) / 2,
        1e-7,
    ]
    assert found == pytest.approx(expected, rel=1e-9)


def test_a_tenth_of_warmup_for_networks_on_their_own() -> None:
    found = rates(1e-3, partial(linear_then_cosine, warmup=0.1), [2_000, 4_000, 22_000], 40_000)
    assert found == pytest.approx([1e-7 + (1e-3 - 1e-7) / 2, 1e-3, 1e-7 + (1e-3 - 1e-7) / 2], rel=1e-9)


def test_inverse_square_root_of_50000_steps() -> None:
    found = rates(5e-4, linear_then_inverse_sqrt, [0, 5_000, 10_000, 40_000], 50_000)
    assert found == pytest.approx([1e-7, 1e-7 + (5e-4 - 1e-7) / 2, 5e-4, 2.5e-4], rel=1e-9)


def test_the_optimiser_steps_with_these_rates() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    configured = Optimization(partial(torch.optim.SGD, lr=1.0), linear_then_cosine).configure(model, 8)
    optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    seen = []
    for _ in range(4):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert seen == pytest.approx([1e-4, 1e-4 + (1 - 1e-4) / 2, 1.0, 1e-4 + (1 - 1e-4) * (1 + 3**0.5 / 2) / 2])
