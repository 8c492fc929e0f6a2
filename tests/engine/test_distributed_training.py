"""Two processes train as one with twice the batch: by gradients, accumulated and clipped, and by the average."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torchvision.ops import FrozenBatchNorm2d

from shiftaddnas.engine import Distillation, Optimization, SubnetModule
from shiftaddnas.ops import ShiftConv2d
from tasks.image_classification import ImageClassification

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*have no `val_dataloader`"),
]
BATCH = 16
NUM_BATCHES = 6


class Images(pl.LightningDataModule):
    """The same batches of 16 for any number of processes, of which each takes its share; the shares are unlike."""

    image_size, in_channels, num_classes = 8, 1, 10

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        images = torch.randn(NUM_BATCHES * BATCH, 1, 8, 8, generator=generator)
        self.images = images + torch.arange(len(images))[:, None, None, None] % BATCH
        self.labels = torch.randint(0, 10, (len(images),), generator=generator)

    def train_dataloader(self) -> DataLoader[Any]:
        assert self.trainer is not None
        size = BATCH // self.trainer.world_size
        mine = slice(self.trainer.global_rank * size, (self.trainer.global_rank + 1) * size)
        shares = [one.unflatten(0, (NUM_BATCHES, BATCH))[:, mine].flatten(0, 1) for one in (self.images, self.labels)]
        return DataLoader(TensorDataset(*shares), batch_size=size)


def network(seed: int) -> nn.Sequential:
    """Batch norms would see a process's own batch alone, so they are frozen."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 8, 3, bias=False), FrozenBatchNorm2d(8), nn.SiLU(), ShiftConv2d(8, 8, 3), nn.SiLU(),
            nn.Flatten(), nn.Linear(128, 10),
        )  # fmt: skip


def trained(folder: Path, num_batches: int = NUM_BATCHES, **settings: Any) -> dict[str, Tensor]:
    """The weights and their average after an epoch."""
    task = ImageClassification("images", Images(), label_smoothing=0.1)
    optimization = Optimization(partial(torch.optim.SGD, lr=0.1, momentum=0.9), ema_decay=0.5)
    module = SubnetModule(network(0), task, optimization, 0, Distillation(network(1)))
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, limit_train_batches=num_batches, logger=False, use_distributed_sampler=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
        accumulate_grad_batches=2, gradient_clip_val=0.5, **settings,
    )  # fmt: skip
    trainer.fit(module, datamodule=task.datamodule())
    return module.state_dict()


def test_two_processes_train_as_one_with_twice_the_batch(tmp_path: Path) -> None:
    one = trained(tmp_path)
    two = trained(tmp_path, devices=2, strategy="ddp_spawn")
    assert {"network.0.weight", "average.module.0.weight"} <= one.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-4, atol=1e-6, msg=name)


def test_that_comparison_would_see_a_missing_share(tmp_path: Path) -> None:
    weight, other = (trained(tmp_path, number)["network.0.weight"] for number in (NUM_BATCHES, NUM_BATCHES - 2))
    assert not torch.allclose(weight, other, rtol=1e-4, atol=1e-6)
