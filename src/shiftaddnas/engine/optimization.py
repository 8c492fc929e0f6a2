"""Optimiser and learning-rate schedule, from partial constructors that a config gives."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler


class Optimization:
    """How a network is optimised.

    Args:
        optimizer: called with parameter groups, for instance a partial of torch.optim.AdamW.
        scheduler: called with the optimiser and total_steps=, for instance `cosine_with_warmup` or a partial of
            torch.optim.lr_scheduler.OneCycleLR; stepped once an optimiser step. None: a constant rate.
        operator_lr: factors on the learning rate of single operators' parameters, by operator ("shift" wants more in
            its exponent-and-sign form; DeepShift). Only a supernet knows its operators' parameters.
    """

    def __init__(
        self,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler] | None = None,
        *,
        operator_lr: Mapping[str, float] | None = None,
    ) -> None:
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.operator_lr = dict(operator_lr or {})

    def configure(
        self, model: nn.Module, total_steps: int, operators: Mapping[str, Iterable[nn.Parameter]] | None = None
    ) -> dict[str, Any]:
        """What LightningModule.configure_optimizers returns.

        Vectors and scalars (biases, normalisations, slopes, gains) are not decayed.
        """
        factors = {
            id(parameter): self.operator_lr[name]
            for name, parameters in (operators or {}).items()
            if name in self.operator_lr
            for parameter in parameters
        }
        groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
        for parameter in model.parameters():
            groups.setdefault((parameter.ndim > 1, factors.get(id(parameter), 1.0)), []).append(parameter)
        optimizer = self.optimizer(
            [
                {"params": parameters} | ({} if decayed else {"weight_decay": 0.0})
                for (decayed, _), parameters in groups.items()
            ]
        )
        for group, (_, factor) in zip(optimizer.param_groups, groups, strict=True):
            group["lr"] = group["lr"] * factor
        if self.scheduler is None:
            return {"optimizer": optimizer}
        scheduler = self.scheduler(optimizer, total_steps=total_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def cosine_with_warmup(
    optimizer: Optimizer, *, total_steps: int, warmup: float = 0.05, final: float = 0.01
) -> LambdaLR:
    """A linear rise over the share `warmup` of the steps, then half a cosine down to `final` times the full rate."""
    warmup_steps = max(1, round(warmup * total_steps))

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * progress))

    return LambdaLR(optimizer, factor)
