"""A training with noise in its layers goes on from a checkpoint as if it had never stopped."""

from functools import partial
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from composed import built
from shiftaddnas.engine import Optimization, SubnetModule
from shiftaddnas.engine.checkpoint import ResumeCheckpoint
from shiftaddnas.engine.noise import seed_layer_noise


class StopBefore(pl.Callback):
    """Ends a training abruptly at the start of an epoch, behind the checkpoint of the one before."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            raise KilledError


class KilledError(Exception):
    pass


def fit(folder: Path, *callbacks: pl.Callback, resume: Path | None = None) -> dict[str, torch.Tensor]:
    """Two epochs of three batches; what was drawn before must not matter."""
    torch.rand(17 if resume else 3)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))
    task = built("task", "task=digits", "seed=3")
    module = SubnetModule(network, task, Optimization(partial(torch.optim.SGD, lr=0.1)), seed=3)
    keep = ResumeCheckpoint(folder / "resume.ckpt", folder / "final.ckpt", {})
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=2, limit_train_batches=3, limit_val_batches=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[keep, *callbacks], default_root_dir=folder,
    )  # fmt: skip
    trainer.fit(module, datamodule=task.datamodule(), ckpt_path=resume, weights_only=True)
    return network.state_dict()


@pytest.mark.filterwarnings("ignore:.*exists and is not empty", "ignore:.*does not have many workers")
def test_a_killed_training_with_dropout_ends_as_the_uninterrupted_one(tmp_path: Path) -> None:
    whole = fit(tmp_path / "whole")
    with pytest.raises(KilledError):
        fit(tmp_path / "killed", StopBefore(1))
    resumed = fit(tmp_path / "killed", resume=tmp_path / "killed" / "resume.ckpt")
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name


def test_every_step_and_every_process_draws_its_own() -> None:
    drawn = set()
    with torch.random.fork_rng():
        for step in ((0, 0, 0), (0, 1, 0), (1, 0, 0), (0, 0, 1)):
            seed_layer_noise(3, *step)
            drawn.add(float(torch.rand(())))
    assert len(drawn) == 4
