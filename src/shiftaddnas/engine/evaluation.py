"""Scoring an arch with the supernet's weights."""

from typing import Any

import torch

from shiftaddnas.engine.batch_norm import batch_norm_statistics, lent_statistics
from shiftaddnas.engine.task import Task, TaskData
from shiftaddnas.spaces import Arch
from shiftaddnas.supernets import Supernet


class SupernetEvaluator:
    """Calls give the task's metrics and loss of an arch on the validation part, with batch-norm statistics of its own.

    The same arch scores the same, whatever was evaluated before: statistics come from the fixed calibration part and
    the supernet is left as it was.
    """

    def __init__(self, supernet: Supernet, task: Task, data: TaskData) -> None:
        self.metric = task.metric
        self.unit = task.unit
        self.maximize = task.maximize
        self._supernet = supernet
        self._task = task
        data.setup("fit")
        self._data = data

    @torch.no_grad()
    def __call__(self, arch: Arch) -> dict[str, float]:
        supernet, task = self._supernet, self._task
        device = next(supernet.parameters()).device
        training = supernet.training
        supernet.eval()
        try:
            statistics = batch_norm_statistics(
                supernet,
                (_to(batch, device) for batch in self._data.calibration_dataloader()),
                lambda batch: task.step(supernet, batch, arch),
            )
            metrics = task.metrics().to(device)
            for metric in metrics.values():
                # In a distributed run one process scores while the others wait.
                metric.distributed_available_fn = lambda: False
            loss_sum, count = 0.0, 0
            with lent_statistics(supernet, statistics):
                for batch in self._data.val_dataloader():
                    on_device = _to(batch, device)
                    output = task.step(supernet, on_device, arch)
                    metrics.update(output.logits, task.targets(on_device))
                    loss_sum += float(output.loss) * len(output.logits)
                    count += len(output.logits)
        finally:
            supernet.train(training)
        return {name: float(value) for name, value in metrics.compute().items()} | {"loss": loss_sum / count}


def _to(batch: Any, device: torch.device) -> Any:
    return type(batch)(part.to(device) for part in batch)
