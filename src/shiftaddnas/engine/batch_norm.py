"""Batch-norm statistics of single subnets.

A supernet's running statistics mix all paths and fit none. Before a subnet is scored, its own are taken from some
training batches; they are kept beside the model and lent to it, so the supernet's never change.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Statistics = dict[str, tuple[Tensor, Tensor]]


def _norms(model: nn.Module) -> dict[str, _BatchNorm]:
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    }


def tracks_statistics(model: nn.Module) -> bool:
    """Whether the model has batch norms whose statistics a subnet needs for itself."""
    return bool(_norms(model))


@torch.no_grad()
def batch_norm_statistics(model: nn.Module, batches: Iterable[Any], run: Callable[[Any], object]) -> Statistics:
    """Means and variances, averaged over the batches, of every batch norm that `run(batch)` passes through."""
    norms = _norms(model)
    before = {name: (norm.running_mean, norm.running_var, norm.num_batches_tracked) for name, norm in norms.items()}
    momenta = {name: norm.momentum for name, norm in norms.items()}
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        for norm in norms.values():
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean = torch.zeros_like(norm.running_mean)
            norm.running_var = torch.ones_like(norm.running_var)
            norm.num_batches_tracked = torch.zeros((), dtype=torch.long)
            norm.momentum = None  # a plain average over batches
            norm.train()
        for batch in batches:
            run(batch)
        return {
            name: (norm.running_mean, norm.running_var)
            for name, norm in norms.items()
            if norm.running_mean is not None and norm.running_var is not None and norm.num_batches_tracked
        }
    finally:
        for name, norm in norms.items():
            norm.running_mean, norm.running_var, norm.num_batches_tracked = before[name]
            norm.momentum = momenta[name]
        for module, training in modes.items():
            module.training = training


@contextmanager
def lent_statistics(model: nn.Module, statistics: Statistics) -> Iterator[None]:
    """Within this context the model evaluates with these statistics; its own come back afterwards."""
    norms = _norms(model)
    before = {name: (norms[name].running_mean, norms[name].running_var) for name in statistics}
    try:
        for name, (mean, variance) in statistics.items():
            norms[name].running_mean, norms[name].running_var = mean, variance
        yield
    finally:
        for name, (own_mean, own_variance) in before.items():
            norms[name].running_mean, norms[name].running_var = own_mean, own_variance
