"""Scoring an arch with the supernet's weights."""

from itertools import islice
from typing import Any

import torch
from torch.utils.data import DataLoader

from shiftaddnas.engine.batch_norm import Statistics, batch_norm_statistics, lent_statistics, tracks_statistics
from shiftaddnas.engine.batches import as_taken_by
from shiftaddnas.engine.task import Task, TaskData
from shiftaddnas.errors import UserError
from shiftaddnas.spaces import Arch
from shiftaddnas.supernets import Supernet


class SupernetEvaluator:
    """Calls give the task's metrics and loss of an arch on the validation part, with batch-norm statistics of its own.

    The same arch scores the same, whatever was evaluated before: statistics come from the fixed calibration part and
    the supernet is left as it was.

    Args:
        score: the metric that is the score; None: the task's. One of the task's `other_scores` is measured as well.
        limit_val_batches: as in `pytorch_lightning.Trainer`: the first so many batches of the validation part, or such
            a share of its batches; None or 1.0 for all.

    Raises:
        UserError: the limit leaves no batch.
    """

    def __init__(
        self,
        supernet: Supernet,
        task: Task,
        data: TaskData,
        *,
        score: str | None = None,
        limit_val_batches: float | None = None,
    ) -> None:
        self.metric = score or task.metric
        self.unit = task.unit
        self.maximize = task.maximize
        self._supernet = supernet
        self._task = task
        data.setup("fit")
        self._data = data
        self._num_val_batches = _num_batches(data.val_dataloader(), limit_val_batches)

    @torch.no_grad()
    def __call__(self, arch: Arch) -> dict[str, float]:
        supernet, task = self._supernet, self._task
        device = next(supernet.parameters()).device
        training = supernet.training
        supernet.eval()
        try:
            statistics = self._statistics(arch)
            metrics = task.metrics().to(device)
            for metric in metrics.values():
                # In a distributed run one process scores while the others wait.
                metric.distributed_available_fn = lambda: False
            loss_sum, count = 0.0, 0
            with lent_statistics(supernet, statistics):
                for batch in islice(self._data.val_dataloader(), self._num_val_batches):
                    taken = as_taken_by(supernet, batch)
                    output = task.step(supernet, taken, arch)
                    metrics.update(output.logits, task.targets(taken))
                    loss_sum += float(output.loss) * output.size
                    count += output.size
        finally:
            supernet.train(training)
        found = {name: float(value) for name, value in metrics.compute().items()} | {"loss": loss_sum / count}
        if self.metric in task.other_scores:
            found[self.metric] = task.other_score(self.metric, supernet.space, arch, found)
        return found

    def _statistics(self, arch: Arch) -> Statistics:
        if not tracks_statistics(self._supernet):
            return {}
        return batch_norm_statistics(
            self._supernet,
            (as_taken_by(self._supernet, batch) for batch in self._data.calibration_dataloader()),
            lambda batch: self._task.step(self._supernet, batch, arch),
        )


def _num_batches(loader: DataLoader[Any], limit: float | None) -> int | None:
    """How many batches of a loader are within the limit; None for all."""
    if limit is None or (isinstance(limit, float) and limit == 1.0):
        return None
    number = limit if isinstance(limit, int) else int(len(loader) * limit)
    if number < 1:
        raise UserError(
            f"trainer.limit_val_batches={limit} leaves no batch to score archs with; give a number from 1, a greater "
            "share of them, or 1.0 for all"
        )
    return number
