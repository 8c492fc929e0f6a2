"""Training a supernet: a few archs a step, as the path sampler says, of the operators that the schedule allows."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor

from shiftaddnas.engine.batch_norm import Statistics, batch_norm_statistics, lent_statistics
from shiftaddnas.engine.noise import seed_layer_noise
from shiftaddnas.engine.optimization import Optimization
from shiftaddnas.engine.paths import PathSampler
from shiftaddnas.engine.schedule import OperatorSchedule
from shiftaddnas.engine.task import Output, Task
from shiftaddnas.spaces import Arch
from shiftaddnas.supernets import Supernet
from shiftaddnas.tracking import child_generator, child_seed


class SupernetModule(pl.LightningModule):
    """A supernet of any task, trained by weight sharing.

    A step's loss is the mean over its archs of task loss (or distance to the first arch's output, where the sampler
    distils) plus the sharing scheme's regularizer. Parameters that no arch of the step used get no gradient at all, so
    optimisers leave them alone.

    Args:
        probes: archs by name whose validation metrics are logged, each with batch-norm statistics of its own.
        seed: of paths and augmentation, together with epoch, batch and rank.
    """

    def __init__(
        self,
        supernet: Supernet,
        task: Task,
        optimization: Optimization,
        sampler: PathSampler,
        schedule: OperatorSchedule,
        probes: Mapping[str, Arch],
        seed: int,
    ) -> None:
        super().__init__()
        self.supernet = supernet
        self.task = task
        self.optimization = optimization
        self.sampler = sampler
        self.schedule = schedule
        self.probes = dict(probes)
        self.seed = seed
        self.val_metrics = torch.nn.ModuleDict(
            {name: task.metrics().clone(prefix="val/", postfix=f"_{name}") for name in probes}
        )
        self._probe_statistics: dict[str, Statistics] = {}
        self._space = supernet.space

    def configure_optimizers(self) -> Any:
        operators = {name: list(self.supernet.operator_parameters(name)) for name in self.optimization.operator_lr}
        return self.optimization.configure(self.supernet, int(self.trainer.estimated_stepping_batches), operators)

    def on_train_epoch_start(self) -> None:
        num_epochs = self.trainer.max_epochs
        stage = self.schedule.stage(self.current_epoch, num_epochs if num_epochs and num_epochs > 0 else 1)
        space = self.supernet.space
        self._space = space if stage.operators is None else space.restricted(stage.operators)
        self.supernet.freeze(stage.freeze)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        seed_layer_noise(self.seed, self.current_epoch, batch_idx, self.global_rank)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        step = (self.current_epoch, batch_idx)
        augment_seed = child_seed(self.seed, "augment", *step, self.global_rank)
        batch = self.task.augment(batch, torch.Generator().manual_seed(augment_seed))
        rank = self.global_rank if self.sampler.per_rank else 0
        archs = self.sampler.archs(self._space, child_generator(self.seed, "paths", *step, rank))

        outputs = [self._step(arch, batch) for arch in archs]
        losses = [output.loss for output in outputs]
        if self.sampler.distill:
            teacher = outputs[0].logits.detach()
            losses[1:] = [_distance(output.logits, teacher) for output in outputs[1:]]
        regularizer = torch.stack([self.supernet.regularizer(arch) for arch in archs]).mean()
        loss = torch.stack(losses).mean() + regularizer
        size = len(outputs[0].logits)
        self.log("train/loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=size)
        self.log("train/regularizer", regularizer, on_step=False, on_epoch=True, batch_size=size)
        return loss

    def _step(self, arch: Arch, batch: Any) -> Output:
        return self.task.step(self.supernet, batch, arch)

    def on_validation_epoch_start(self) -> None:
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        batches = [self.transfer_batch_to_device(batch, self.device, 0) for batch in data.calibration_dataloader()]
        for name, arch in self.probes.items():
            step = partial(self._step, arch)
            self._probe_statistics[name] = batch_norm_statistics(self.supernet, batches, step)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        for name, arch in self.probes.items():
            with lent_statistics(self.supernet, self._probe_statistics[name]):
                output = self._step(arch, batch)
            metrics: Any = self.val_metrics[name]
            metrics.update(output.logits, self.task.targets(batch))
            self.log(f"val/loss_{name}", output.loss, batch_size=len(output.logits), sync_dist=True)
            self.log_dict(metrics)


def _distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the student's class probabilities from the teacher's, averaged over the batch."""
    log_student, log_teacher = F.log_softmax(student, -1), F.log_softmax(teacher, -1)
    return F.kl_div(log_student.flatten(0, -2), log_teacher.flatten(0, -2), reduction="batchmean", log_target=True)
