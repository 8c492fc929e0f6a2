"""Optimiser, learning-rate schedule and weight average, from partial constructors and numbers that a config gives."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler
from torch.optim.swa_utils import AveragedModel

from shiftaddnas.errors import UserError


class Optimization:
    """How a network is optimised.

    Args:
        optimizer: called with parameter groups, for instance a partial of torch.optim.AdamW.
        scheduler: called with the optimiser and total_steps=, for instance `cosine_with_warmup` or a partial of
            torch.optim.lr_scheduler.OneCycleLR. None: a constant rate.
        interval: what a step of the scheduler is: an optimiser step, or an epoch.
        operator_lr: factors on the learning rate of single operators' parameters, by operator ("shift" wants more in
            its exponent-and-sign form; DeepShift). Only a supernet knows its operators' parameters; a kernel that
            operators share takes the factor of the one that is named.
        layer_decay: factor on the learning rate from each layer to the one before it (BEiT, ICLR 2022); for networks
            that say what their layers are, as those of timm do by `group_matcher`. None: one rate for all.
        ema_decay: of an exponential moving average of a single network's weights; None: no average.

    Raises:
        UserError: a factor is out of its range.
    """

    def __init__(
        self,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler] | None = None,
        *,
        interval: Literal["step", "epoch"] = "step",
        operator_lr: Mapping[str, float] | None = None,
        layer_decay: float | None = None,
        ema_decay: float | None = None,
    ) -> None:
        self.optimizer = optimizer
        self.scheduler = scheduler
        self.interval = interval
        self.operator_lr = dict(operator_lr or {})
        self.layer_decay = layer_decay
        self.ema_decay = ema_decay
        for name, factor in self.operator_lr.items():
            if factor <= 0:
                raise UserError(f"optim.operator_lr.{name}={factor}; allowed are factors above 0")
        if layer_decay is not None and not 0 < layer_decay <= 1:
            raise UserError(f"optim.layer_decay={layer_decay}; allowed are numbers above 0 and up to 1, or null")
        if ema_decay is not None and not 0 < ema_decay < 1:
            raise UserError(f"optim.ema_decay={ema_decay}; allowed are numbers above 0 and below 1, or null")

    def configure(
        self,
        model: nn.Module,
        num_steps: int,
        operators: Mapping[str, Iterable[nn.Parameter]] | None = None,
        *,
        num_epochs: int | None = None,
    ) -> dict[str, Any]:
        """What LightningModule.configure_optimizers returns.

        Vectors and scalars (biases, normalisations, slopes, gains) are not decayed.

        Args:
            num_steps: optimiser steps of the training.
            operators: the parameters of each operator.
            num_epochs: of the training; needed where the schedule goes by epochs.

        Raises:
            UserError: the optimiser refuses its settings, or the schedule its rate.
        """
        factors = self._factors(operators or {})
        scales = {} if self.layer_decay is None else layer_scales(model, self.layer_decay)
        groups: dict[tuple[bool, float], list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            factor = factors.get(id(parameter), 1.0) * scales.get(name, 1.0)
            groups.setdefault((parameter.ndim > 1, factor), []).append(parameter)
        try:
            optimizer = self.optimizer(
                [
                    {"params": parameters} | ({} if decayed else {"weight_decay": 0.0})
                    for (decayed, _), parameters in groups.items()
                ]
            )
        except ValueError as error:
            raise UserError(f"optim.optimizer refuses its settings: {' '.join(str(error).split())}") from error
        for group, (_, factor) in zip(optimizer.param_groups, groups, strict=True):
            group["lr"] = group["lr"] * factor
        if self.scheduler is None:
            return {"optimizer": optimizer}
        scheduler = self.scheduler(optimizer, total_steps=self._num_scheduler_steps(num_steps, num_epochs))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": self.interval}}

    def _factors(self, operators: Mapping[str, Iterable[nn.Parameter]]) -> dict[int, float]:
        """The factors on the learning rate of single operators' parameters, by the parameters' ids."""
        factors: dict[int, float] = {}
        for name, parameters in operators.items():
            for parameter in parameters if name in self.operator_lr else ():
                if factors.setdefault(id(parameter), self.operator_lr[name]) != self.operator_lr[name]:
                    raise UserError(
                        f"optim.operator_lr={self.operator_lr}: {name} shares kernels with another operator; give both "
                        "the same factor, or only one of them any, or take sharing=independent"
                    )
        return factors

    def _num_scheduler_steps(self, num_steps: int, num_epochs: int | None) -> int:
        if self.interval == "step":
            return num_steps
        if num_epochs is None or num_epochs < 0:
            raise UserError("optim.interval=epoch needs trainer.max_epochs; set it, or take optim.interval=step")
        return num_epochs

    def average(self, network: nn.Module) -> AveragedModel | None:
        """A copy that follows the network by a moving average of parameters and buffers; None where none is asked for.

        Its first update copies the network.
        """
        if self.ema_decay is None:
            return None
        average = AveragedModel(network, multi_avg_fn=partial(_follow, self.ema_decay), use_buffers=True)
        average.requires_grad_(False)
        return average


@torch.no_grad()
def _follow(decay: float, averages: Sequence[Tensor], values: Sequence[Tensor], num_averaged: Tensor) -> None:
    """A step of the moving averages of tensors of one type; counters are copied. (Torch's own cannot be pickled.)"""
    for average, value in zip(averages, values, strict=True):
        if average.is_floating_point():
            average.lerp_(value, 1 - decay)
        else:
            average.copy_(value)


def layer_scales(network: nn.Module, decay: float) -> dict[str, float]:
    """Factors by parameter name: 1 for the last layer, the head, and `decay` times as much for each layer before.

    Raises:
        UserError: the network does not say what its layers are.
    """
    matcher = getattr(network, "group_matcher", None)
    if matcher is None:
        raise UserError(
            f"optim.layer_decay: {type(network).__name__} does not say what its layers are; set optim.layer_decay=null"
        )
    from timm.models import group_parameters  # timm takes its time to import

    layers: dict[str, int] = group_parameters(network, matcher(coarse=False), reverse=True)
    last = max(layers.values())
    return {name: decay ** (last - layer) for name, layer in layers.items()}


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


def deit_cosine(
    optimizer: Optimizer,
    *,
    total_steps: int,
    warmup_epochs: int = 5,
    warmup_lr: float = 1e-6,
    min_lr: float = 1e-5,
) -> LambdaLR:
    """The schedule of DeiT (ICML 2021) and ShiftAddNAS (ICML 2022), with a step an epoch.

    f(t) rises linearly from `warmup_lr` in `warmup_epochs`, then follows half a cosine over all epochs, from 0, down to
    `min_lr`. As there, the schedule lags: epoch e has f(e - 1), so that the first two have the lowest rate. Where a
    group's rate is a factor of the full one, so are its `warmup_lr` and `min_lr`.
    """
    full: float = optimizer.defaults["lr"]
    if full <= 0:
        raise UserError(f"optim.optimizer.lr={full}; the schedule of optim=deit needs a rate above 0")

    def factor(epoch: int) -> float:
        t = max(epoch - 1, 0)
        if t < warmup_epochs:
            return (warmup_lr + t * (full - warmup_lr) / warmup_epochs) / full
        return (min_lr + (full - min_lr) * 0.5 * (1 + math.cos(math.pi * t / total_steps))) / full

    return LambdaLR(optimizer, factor)
