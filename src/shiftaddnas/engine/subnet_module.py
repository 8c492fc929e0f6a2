"""Training and testing one network on its own."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from shiftaddnas.engine.noise import seed_layer_noise
from shiftaddnas.engine.optimization import Optimization
from shiftaddnas.engine.task import Task
from shiftaddnas.tracking import child_seed


class SubnetModule(pl.LightningModule):
    """A network of any task, trained, validated and tested with the task's loss and metrics.

    Args:
        seed: of the augmentation, together with epoch, batch and rank.
    """

    def __init__(self, network: nn.Module, task: Task, optimization: Optimization, seed: int) -> None:
        super().__init__()
        self.network = network
        self.task = task
        self.optimization = optimization
        self.seed = seed
        self.val_metrics = task.metrics().clone(prefix="val/")
        self.test_metrics = task.metrics().clone(prefix="test/")

    def configure_optimizers(self) -> Any:
        return self.optimization.configure(self.network, int(self.trainer.estimated_stepping_batches))

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        seed_layer_noise(self.seed, self.current_epoch, batch_idx, self.global_rank)

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        seed = child_seed(self.seed, "augment", self.current_epoch, batch_idx, self.global_rank)
        batch = self.task.augment(batch, torch.Generator().manual_seed(seed))
        output = self.task.step(self.network, batch)
        self.log("train/loss", output.loss, prog_bar=True, on_step=False, on_epoch=True, batch_size=len(output.logits))
        return output.loss

    def validation_step(self, batch: Any, batch_idx: int) -> None:
        output = self.task.step(self.network, batch)
        self.val_metrics.update(output.logits, self.task.targets(batch))
        self.log("val/loss", output.loss, batch_size=len(output.logits), sync_dist=True)
        self.log_dict(self.val_metrics, prog_bar=True)

    def test_step(self, batch: Any, batch_idx: int) -> None:
        output = self.task.step(self.network, batch)
        self.test_metrics.update(output.logits, self.task.targets(batch))
        self.log("test/loss", output.loss, batch_size=len(output.logits), sync_dist=True)
        self.log_dict(self.test_metrics)
