"""The order of training images, with repeated augmentation, shared between the processes of a distributed run."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch.utils.data import Dataset, DistributedSampler

from shiftaddnas.tracking import child_seed


class Draw(NamedTuple):
    """One use of an image: together with the run's seed it decides all that is random about it."""

    image: int
    epoch: int
    copy: int


class RepeatedSampler(DistributedSampler[Draw]):
    """Every image a few times in a row, in an order of its own for each epoch, until the epoch is full.

    An epoch is as long as without repetition, so `repeats` copies leave room for 1/repeats of the images. Processes
    take turns, so copies of an image meet in one step but mostly in different processes, and a step of n processes
    uses the images that a single process with n times the batch would. Lightning sets the epoch.
    """

    def __init__(
        self, dataset: Dataset[object], size: int, seed: int, *, repeats: int, num_replicas: int, rank: int
    ) -> None:
        # For one process too: it is how Lightning knows that the order is taken care of.
        super().__init__(dataset, num_replicas=num_replicas, rank=rank, shuffle=True)
        self.num_images = size
        self.order_seed = seed
        self.repeats = repeats

    def __len__(self) -> int:
        return self.num_images // self.num_replicas

    def __iter__(self) -> Iterator[Draw]:
        generator = torch.Generator().manual_seed(child_seed(self.order_seed, "order", self.epoch))
        order = torch.randperm(self.num_images, generator=generator).tolist()
        for turn in range(len(self)):
            position = turn * self.num_replicas + self.rank
            yield Draw(order[position // self.repeats], self.epoch, position % self.repeats)
