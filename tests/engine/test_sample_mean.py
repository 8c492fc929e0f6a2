"""Accumulated batches and processes count by their samples: the update is that of one batch with all of them."""

from functools import partial
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, distributed, nn
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection

from shiftaddnas.engine import Optimization, Output, SubnetModule, Task

pytestmark = pytest.mark.filterwarnings(
    "ignore:You defined a .validation_step", "ignore:The number of training batches"
)

X = torch.tensor([1.0, 2.0, -1.0, 0.5, 3.0, -2.0, 1.5])
Y = torch.tensor([2.0, -1.0, 0.0, 1.0, 1.0, 3.0, -3.0])
PARTS = [[0, 1, 2, 3], [4], [5, 6]]


class Line(Task):
    """Fits y = w x. Its samples count one by one unless `num_samples` is left out."""

    name, metric, unit, maximize = "line", "loss", "", False

    def __init__(self, *, counts: bool = True) -> None:
        self.counts = counts

    def datamodule(self) -> Any:
        raise NotImplementedError

    workload = supernet = standalone = datamodule  # type: ignore[assignment]

    def step(self, model: nn.Module, batch: Any, arch: Any = None) -> Output:
        outputs = model(batch[0][:, None])
        loss = (outputs.squeeze(1) - batch[1]).square().mean()
        return Output(loss, outputs, num_samples=len(outputs) if self.counts else None)

    def metrics(self) -> MetricCollection:
        return MetricCollection({})

    def targets(self, batch: Any) -> Tensor:
        found: Tensor = batch[1]
        return found


class EndsGroup(pl.Callback):
    """A process that ends with its group open may be aborted by the group's threads."""

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def pairs(part: list[int]) -> tuple[Tensor, Tensor]:
    return X[part], Y[part]


def updated_weight(parts: list[list[int]], *, counts: bool = True, **settings: Any) -> float:
    """The weight after an update from 0 with learning rate 1: minus the gradient."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    module = SubnetModule(network, Line(counts=counts), Optimization(partial(torch.optim.SGD, lr=1.0)), 0)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[EndsGroup()],
        **settings,
    )
    loader: Any = DataLoader(parts, batch_size=None, collate_fn=pairs)  # type: ignore[arg-type]
    trainer.fit(module, loader)
    return network.weight.item()


def minus_gradient(samples: list[int]) -> float:
    """Of the mean of (w x - y)^2 at w = 0, by hand: the mean of 2 x y."""
    return sum(2 * float(X[one] * Y[one]) for one in samples) / len(samples)


def test_accumulated_batches_count_by_samples() -> None:
    whole = minus_gradient([0, 1, 2, 3, 4, 5, 6])
    assert updated_weight([[0, 1, 2, 3, 4, 5, 6]]) == pytest.approx(whole)
    assert updated_weight(PARTS, accumulate_grad_batches=3) == pytest.approx(whole)
    # The epoch ends before the fourth batch.
    assert updated_weight(PARTS, accumulate_grad_batches=4) == pytest.approx(whole)


def test_clipping_sees_the_mean() -> None:
    whole = minus_gradient([0, 1, 2, 3, 4, 5, 6])
    assert abs(whole) > 0.5
    clipped = updated_weight(PARTS, accumulate_grad_batches=3, gradient_clip_val=0.5)
    assert clipped == pytest.approx(0.5 if whole > 0 else -0.5, rel=1e-4)


def test_without_numbers_of_samples_batches_count_alike() -> None:
    mean_of_means = sum(minus_gradient(part) for part in PARTS) / 3
    assert mean_of_means != pytest.approx(minus_gradient([0, 1, 2, 3, 4, 5, 6]), rel=0.1)
    assert updated_weight(PARTS, counts=False, accumulate_grad_batches=3) == pytest.approx(mean_of_means)


@pytest.mark.filterwarnings("ignore")  # Lightning's about processes and loaders
def test_processes_count_by_samples() -> None:
    parts = [[0, 1, 2, 3], [4], [5], [6, 1, 2]]  # dealt out to two processes in turns
    whole = minus_gradient([0, 1, 2, 3, 4, 5, 6, 1, 2])
    found = updated_weight(parts, accumulate_grad_batches=2, devices=2, strategy="ddp_spawn")
    assert found == pytest.approx(whole)
