"""Scikit-learn's handwritten digits: 1,797 real 8x8 images that come with the package, so nothing is downloaded."""

import numpy as np
import pytorch_lightning as pl
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from shiftaddnas.engine.batches import even_batch_size
from shiftaddnas.errors import UserError

SPLIT_SEED = 20220717
EVAL_BATCH_SIZE = 512


class DigitsData(pl.LightningDataModule):
    """The digits, split 60/20/20 by class, always alike.

    Networks learn from the first part, the search scores candidates on the second ("val"), and the third ("test") is
    for the final networks alone. Images are (1, 8, 8) floats, standardised with the training part's mean and deviation.

    Args:
        batch_size: images in a training step.
        seed: of the order in which training images come.
        num_calibration: training images from which batch-norm statistics of a subnet are taken.
        num_workers: worker processes of each loader; the images are in memory, so 0 is fastest.
    """

    image_size = 8
    in_channels = 1
    num_classes = 10
    free_settings = ("batch_size", "seed", "num_calibration", "num_workers")

    def __init__(self, batch_size: int, seed: int, *, num_calibration: int = 512, num_workers: int = 0) -> None:
        super().__init__()
        for name, count in (("batch_size", batch_size), ("num_calibration", num_calibration)):
            if count < 1:
                raise UserError(f"task.data.{name}={count}; allowed are whole numbers from 1")
        if num_workers < 0:
            raise UserError(f"task.data.num_workers={num_workers}; allowed are whole numbers from 0")
        self.batch_size = batch_size
        self.seed = seed
        self.num_calibration = num_calibration
        self.num_workers = num_workers
        self.parts: dict[str, TensorDataset] = {}

    def setup(self, stage: str | None = None) -> None:
        if self.parts:
            return
        images, labels = load_digits(return_X_y=True)
        rest, test = train_test_split(np.arange(len(labels)), test_size=0.2, stratify=labels, random_state=SPLIT_SEED)
        train, val = train_test_split(rest, test_size=0.25, stratify=labels[rest], random_state=SPLIT_SEED)
        mean, std = images[train].mean(), images[train].std()
        x_NCHW = torch.from_numpy((images - mean) / std).float().view(-1, 1, 8, 8)
        y_N = torch.from_numpy(labels).long()
        for name, indices in (("train", train), ("val", val), ("test", test)):
            self.parts[name] = TensorDataset(x_NCHW[indices], y_N[indices])
        chosen = np.random.default_rng(SPLIT_SEED).permutation(train)[: self.num_calibration]
        self.parts["calibration"] = TensorDataset(x_NCHW[chosen], y_N[chosen])

    def train_dataloader(self) -> DataLoader[tuple[torch.Tensor, ...]]:
        part = self.parts["train"]
        replicas, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        # For one process too: Lightning sets its epoch, so the order follows seed and epoch alone, also when resumed.
        sampler: DistributedSampler[tuple[torch.Tensor, ...]] = DistributedSampler(
            part, num_replicas=replicas, rank=rank, shuffle=True, seed=self.seed
        )
        if len(sampler) < self.batch_size:
            raise UserError(
                f"task.data.batch_size={self.batch_size} is more than the {len(sampler)} training images of a process"
            )
        return DataLoader(
            part, batch_size=self.batch_size, sampler=sampler, num_workers=self.num_workers, drop_last=True
        )

    def val_dataloader(self) -> DataLoader[tuple[torch.Tensor, ...]]:
        return self._whole("val")

    def test_dataloader(self) -> DataLoader[tuple[torch.Tensor, ...]]:
        return self._whole("test")

    def calibration_dataloader(self) -> DataLoader[tuple[torch.Tensor, ...]]:
        part = self.parts["calibration"]
        return DataLoader(part, batch_size=even_batch_size(len(part), EVAL_BATCH_SIZE), num_workers=self.num_workers)

    def _whole(self, name: str) -> DataLoader[tuple[torch.Tensor, ...]]:
        return DataLoader(self.parts[name], batch_size=EVAL_BATCH_SIZE, num_workers=self.num_workers)
