"""Training a supernet: a few archs a step, as the path sampler says, of the operators that the schedule allows."""

from collections.abc import Mapping
from functools import partial
from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim import Optimizer

from shiftaddnas.engine.batch_norm import Statistics, batch_norm_statistics, lent_statistics, tracks_statistics
from shiftaddnas.engine.batches import as_taken_by
from shiftaddnas.engine.noise import seed_layer_noise
from shiftaddnas.engine.optimization import Optimization
from shiftaddnas.engine.paths import PathSampler
from shiftaddnas.engine.sample_mean import SampleMean
from shiftaddnas.engine.schedule import OperatorSchedule, Stage
from shiftaddnas.engine.task import Output, Task
from shiftaddnas.spaces import Arch
from shiftaddnas.supernets import Supernet
from shiftaddnas.tracking import child_generator, child_seed


class SupernetModule(pl.LightningModule):
    """A supernet of any task, trained by weight sharing.

    An optimiser step's loss is the mean over its archs of task loss (or distance to the first arch's output, where the
    sampler distils) plus the sharing scheme's regularizer. All batches whose gradients are accumulated for it train the
    same archs. Parameters that none of them used get no gradient at all, so optimisers leave them alone.

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
        self._stage: Stage | None = None
        self._sample_mean = SampleMean()

    def configure_optimizers(self) -> Any:
        operators = {name: list(self.supernet.operator_parameters(name)) for name in self.optimization.operator_lr}
        num_steps, num_epochs = int(self.trainer.estimated_stepping_batches), self.trainer.max_epochs
        return self.optimization.configure(self.supernet, num_steps, operators, num_epochs=num_epochs)

    def _enter_stage(self) -> None:
        trainer = self.trainer
        if trainer.max_steps == -1 and trainer.max_epochs is not None and trainer.max_epochs > 0:
            stage = self.schedule.stage(trainer.current_epoch, trainer.max_epochs)
        else:
            stage = self.schedule.stage(trainer.global_step, int(trainer.estimated_stepping_batches))
        if stage is not self._stage:
            self._stage = stage
            space = self.supernet.space
            self._space = space if stage.operators is None else space.restricted(stage.operators)
            self.supernet.freeze(stage.freeze)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self._enter_stage()
        seed_layer_noise(self.seed, self.current_epoch, batch_idx, self.global_rank)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        augment_seed = child_seed(self.seed, "augment", self.current_epoch, batch_idx, self.global_rank)
        batch = self.task.augment(batch, torch.Generator().manual_seed(augment_seed))
        rank = self.global_rank if self.sampler.per_rank else 0
        step = batch_idx // self.trainer.accumulate_grad_batches
        rng = child_generator(self.seed, "paths", self.current_epoch, step, rank)
        archs = self.sampler.archs_at(self.trainer.global_step, self._space, rng)

        outputs = [self._step(arch, batch) for arch in archs]
        losses = [output.loss for output in outputs]
        if self.sampler.distill:
            teacher = outputs[0].valid_logits.detach()
            losses[1:] = [_distance(output.valid_logits, teacher) for output in outputs[1:]]
        regularizer = torch.stack([self.supernet.regularizer(arch) for arch in archs]).mean()
        loss = torch.stack(losses).mean() + regularizer
        size = outputs[0].size
        self.log("train/loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        self.log("train/regularizer", regularizer, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        return self._sample_mean.weighted(loss, outputs[0])

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        self._sample_mean.rescale_gradients(self)

    def _step(self, arch: Arch, batch: Any) -> Output:
        return self.task.step(self.supernet, batch, arch)

    def on_validation_epoch_start(self) -> None:
        if not tracks_statistics(self.supernet):
            return
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        batches = [as_taken_by(self.supernet, batch) for batch in data.calibration_dataloader()]
        for name, arch in self.probes.items():
            step = partial(self._step, arch)
            self._probe_statistics[name] = batch_norm_statistics(self.supernet, batches, step)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        for name, arch in self.probes.items():
            with lent_statistics(self.supernet, self._probe_statistics.get(name, {})):
                output = self._step(arch, batch)
            metrics: Any = self.val_metrics[name]
            metrics.update(output.logits, self.task.targets(batch))
            self.log(f"val/loss_{name}", output.loss, batch_size=output.size, sync_dist=True)
            self.log_dict(metrics)


def _distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the student's class probabilities from the teacher's, a mean over the samples."""
    log_student, log_teacher = F.log_softmax(student, -1), F.log_softmax(teacher, -1)
    return F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
