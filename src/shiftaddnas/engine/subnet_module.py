"""Training and testing one network on its own."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from shiftaddnas.engine.distillation import Distillation
from shiftaddnas.engine.noise import seed_layer_noise
from shiftaddnas.engine.optimization import Optimization
from shiftaddnas.engine.sample_mean import SampleMean
from shiftaddnas.engine.task import Task
from shiftaddnas.errors import UserError
from shiftaddnas.tracking import child_seed

NETWORK, AVERAGE = "network", "average.module"
"""Where a checkpoint has the weights as trained, and their average."""
RAW, EMA = "raw", "ema"
"""The weights as trained, and their average; the names of the latter's metrics end with it."""


class SubnetModule(pl.LightningModule):
    """A network of any task, trained, validated and tested with the task's loss and metrics.

    Where the optimisation asks for an average of the weights, it is a network beside the trained one: validated and
    tested like it, kept in the same checkpoints, updated after each optimiser step.

    Args:
        seed: of the augmentation, together with epoch, batch and rank.
        distillation: from a teacher that sees the same augmented batches; it is not part of checkpoints.
    """

    def __init__(
        self,
        network: nn.Module,
        task: Task,
        optimization: Optimization,
        seed: int,
        distillation: Distillation | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        self.average = optimization.average(network)
        self.task = task
        self.optimization = optimization
        self.seed = seed
        self.distillation = distillation
        self._sample_mean = SampleMean()
        self.val_metrics, self.test_metrics = (
            nn.ModuleDict({weights: task.metrics().clone(part, _postfix(weights)) for weights, _ in self._evaluated()})
            for part in ("val/", "test/")
        )

    def _evaluated(self) -> Iterator[tuple[str, nn.Module]]:
        """The networks that are validated and tested, by their weights."""
        yield RAW, self.network
        if self.average is not None:
            yield EMA, self.average

    def configure_optimizers(self) -> Any:
        if self.average is not None and next(self.network.parameters()).dtype in (torch.bfloat16, torch.float16):
            raise UserError(
                f"trainer.precision={self.trainer.precision} cannot hold an average of the weights: it rounds away the "
                "average's small steps; set optim.ema_decay=null, or take trainer.precision=bf16-mixed"
            )
        num_steps, num_epochs = int(self.trainer.estimated_stepping_batches), self.trainer.max_epochs
        return self.optimization.configure(self.network, num_steps, num_epochs=num_epochs)

    def start_average(self, state: Mapping[str, Tensor]) -> None:
        """Let the average of the weights, if there is one, go on from an earlier training's."""
        if self.average is not None and state:
            self.average.module.load_state_dict(state)
            self.average.n_averaged.fill_(1)

    def on_train_start(self) -> None:
        if self.distillation is not None:
            parameter = next(self.network.parameters())
            self.distillation.teacher.to(self.device, parameter.dtype)

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        seed_layer_noise(self.seed, self.current_epoch, batch_idx, self.global_rank)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        seed = child_seed(self.seed, "augment", self.current_epoch, batch_idx, self.global_rank)
        batch = self.task.augment(batch, torch.Generator().manual_seed(seed))
        output = self.task.step(self.network, batch)
        loss = output.loss
        if self.distillation is not None:
            loss = self.distillation.loss(output, self.distillation.teacher_logits(self.task, batch))
        self.log(
            "train/loss", loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=output.size, sync_dist=True
        )
        return self._sample_mean.weighted(loss, output)

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        self._sample_mean.rescale_gradients(self)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        # Before any callback keeps a checkpoint of the step.
        if self.average is not None:
            self.average.update_parameters(self.network)

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        self._evaluate(batch, "val", self.val_metrics)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        self._evaluate(batch, "test", self.test_metrics)

    def _evaluate(self, batch: Any, part: str, metrics_of: nn.ModuleDict) -> None:
        for weights, network in self._evaluated():
            output = self.task.step(network, batch)
            metrics: Any = metrics_of[weights]
            metrics.update(output.logits, self.task.targets(batch))
            self.log(f"{part}/loss{_postfix(weights)}", output.loss, batch_size=output.size, sync_dist=True)
            self.log_dict(metrics, prog_bar=part == "val")


def _postfix(weights: str) -> str:
    return "" if weights == RAW else f"_{weights}"
