"""How far an exported network agrees with the network it was made of, on a task's data."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from shiftaddnas.engine import Task


@dataclass(frozen=True)
class Agreement:
    """Two networks on the same samples.

    Attributes:
        same_top1: share of the samples for which both have their largest logit in the same class.
        largest_difference: between logits of the two.
        network: the task's metrics of the one, by name.
        exported: and of the other.
    """

    num_samples: int
    same_top1: float
    largest_difference: float
    network: dict[str, float]
    exported: dict[str, float]


@torch.no_grad()
def agreement(task: Task, network: nn.Module, exported: nn.Module, batches: Iterable[Any]) -> Agreement:
    """Run both networks, in the modes they are in, on all batches."""
    metrics = task.metrics(), task.metrics()
    num_samples, num_same, largest = 0, 0, 0.0
    for batch in batches:
        logits = [task.step(model, batch).logits for model in (network, exported)]
        for metric, one in zip(metrics, logits, strict=True):
            metric.update(one, task.targets(batch))
        classes = [one.argmax(-1) for one in logits]
        num_samples += classes[0].numel()
        num_same += int((classes[0] == classes[1]).sum())
        largest = max(largest, float((logits[0] - logits[1]).abs().max()))
    values = [{name: float(value) for name, value in metric.compute().items()} for metric in metrics]
    return Agreement(num_samples, num_same / max(1, num_samples), largest, *values)
