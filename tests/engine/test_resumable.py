"""A training that is killed in the middle of an epoch ends as the uninterrupted one: weights, order, rates, average."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import MetricCollection

from shiftaddnas.engine import Optimization, Output, ResumableLoader, SubnetModule, Task, linear_then_cosine
from shiftaddnas.engine.checkpoint import ResumeCheckpoint

NUM_BATCHES = 8


class Shuffled:
    """Batches of two and three samples, in an order that follows from the epoch."""

    def __init__(self) -> None:
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return NUM_BATCHES

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng(self.epoch).permutation(5 * NUM_BATCHES // 2).tolist()
        start = 0
        for number in range(NUM_BATCHES):
            size = 2 + number % 2
            yield order[start : start + size]
            start += size


class Numbers(pl.LightningDataModule):
    def __init__(self, num_workers: int = 0) -> None:
        super().__init__()
        inputs = torch.arange(20, dtype=torch.float32)[:, None]
        self.dataset = TensorDataset(inputs, inputs.square().squeeze(1) / 100)
        self.num_workers = num_workers
        self.read: list[int] = []

    def train_dataloader(self) -> Any:
        batches: Any = Shuffled()
        loader: DataLoader[Any] = DataLoader(self.dataset, batch_sampler=batches, num_workers=self.num_workers)
        return ResumableLoader(loader, self.trainer)

    def val_dataloader(self) -> Any:
        return DataLoader(self.dataset, batch_size=5)


class Regression(Task):
    name, metric, unit, maximize = "regression", "loss", "", False

    def __init__(self, data: Numbers) -> None:
        self.data = data
        self.seen: list[list[float]] = []

    def datamodule(self) -> Numbers:
        return self.data

    def workload(self) -> Any:
        raise NotImplementedError

    supernet = standalone = workload  # type: ignore[assignment]

    def step(self, model: nn.Module, batch: Any, arch: Any = None) -> Output:
        inputs, targets = batch
        if model.training:
            self.seen.append(inputs.flatten().tolist())
        outputs = model(inputs / 20)
        return Output((outputs.squeeze(1) - targets).square().mean(), outputs, num_samples=len(inputs))

    def metrics(self) -> MetricCollection:
        return MetricCollection({})

    def targets(self, batch: Any) -> Tensor:
        found: Tensor = batch[1]
        return found


class KilledError(Exception):
    pass


class KillAfter(pl.Callback):
    def __init__(self, num_batches: int) -> None:
        self.num_batches = num_batches

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.fit_loop.total_batch_idx == self.num_batches:
            raise KilledError


def fit(
    folder: Path, kill_after: int | None, *, num_workers: int = 0, **settings: Any
) -> tuple[SubnetModule, list[list[float]]]:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(1, 8), nn.Dropout(0.2), nn.Linear(8, 1))
    task = Regression(Numbers(num_workers))
    optimization = Optimization(partial(torch.optim.AdamW, lr=0.01), linear_then_cosine, ema_decay=0.5)
    module = SubnetModule(network, task, optimization, seed=3)
    resume = folder / "resume.ckpt"
    trainer = pl.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[
            ResumeCheckpoint(resume, folder / "final.ckpt", {}, minutes=0),
            *([] if kill_after is None else [KillAfter(kill_after)]),
        ],
        **settings,
    )
    going_on = resume if resume.exists() else None
    trainer.fit(module, datamodule=task.data, ckpt_path=going_on, weights_only=True if going_on else None)
    return module, task.seen


SETTINGS: list[dict[str, Any]] = [
    {"max_epochs": 3},
    {"max_epochs": -1, "max_steps": 22},
    {"max_epochs": 3, "accumulate_grad_batches": 3},
    {"max_epochs": -1, "max_steps": 11, "accumulate_grad_batches": 2, "val_check_interval": 4},
    {"max_epochs": 3, "val_check_interval": 5, "check_val_every_n_epoch": None},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kill_after", [1, 3, 4, 5, 8, 9, 15, 16, 17, 19])
def test_killed_in_mid_epoch(settings: dict[str, Any], kill_after: int, tmp_path: Path) -> None:
    whole, seen = fit(tmp_path / "whole", None, **settings)
    with pytest.raises(KilledError):
        fit(tmp_path / "killed", kill_after, **settings)
    resumed, seen_later = fit(tmp_path / "killed", None, **settings)
    assert 0 < len(seen_later) <= len(seen)
    assert seen_later == seen[-len(seen_later) :]
    if kill_after % NUM_BATCHES > settings.get("accumulate_grad_batches", 1):
        assert len(seen_later) < len(seen) - kill_after // NUM_BATCHES * NUM_BATCHES
    expected = whole.state_dict()
    for name, tensor in resumed.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    assert resumed.trainer.global_step == whole.trainer.global_step
    assert resumed.trainer.current_epoch == whole.trainer.current_epoch


class Halved(DataLoader[Any]):
    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        return ([tensor / 2 for tensor in batch] for batch in super().__iter__())


def test_the_rest_of_an_epoch_comes_from_a_loader_of_the_same_class() -> None:
    data = Numbers()
    batches: Any = Shuffled()
    loader = ResumableLoader(Halved(data.dataset, batch_sampler=batches), None)
    whole = [inputs.flatten().tolist() for inputs, _ in loader]
    rest = [inputs.flatten().tolist() for inputs, _ in loader._rest(3)]
    assert rest == whole[3:]
    assert max(max(batch) for batch in whole) == 9.5


def test_order_with_worker_processes(tmp_path: Path) -> None:
    _, seen = fit(tmp_path / "whole", None, max_epochs=2)
    with pytest.raises(KilledError):
        fit(tmp_path / "killed", 11, max_epochs=2)
    _, seen_later = fit(tmp_path / "killed", None, max_epochs=2, num_workers=1)
    assert 5 <= len(seen_later) <= 6
    assert seen_later == seen[-5:]
