"""What a task offers: its data, its networks, its loss and its metric. Everything else serves every task."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics import MetricCollection

from shiftaddnas.errors import UserError
from shiftaddnas.sharing import WeightSharing
from shiftaddnas.spaces import Arch, Space
from shiftaddnas.supernets import Supernet


class TaskData(Protocol):
    """A LightningDataModule that also has a fixed part of the training data for batch-norm statistics."""

    def setup(self, stage: str | None = None) -> None: ...
    def val_dataloader(self) -> DataLoader[Any]: ...
    def calibration_dataloader(self) -> DataLoader[Any]: ...


@dataclass(frozen=True)
class Output:
    """What a network gives for a batch: the loss (a scalar) and the logits (..., classes)."""

    loss: Tensor
    logits: Tensor


class Task(ABC):
    """Data and metric, and how networks of a space are built and run on them.

    Attributes:
        metric: the name of the score, a key of `metrics()`.
        unit: the score's unit, "" where it has none.
        maximize: whether a greater score is better.
    """

    name: str
    metric: str
    unit: str
    maximize: bool

    @abstractmethod
    def datamodule(self) -> pl.LightningDataModule:
        """The data; its calibration_dataloader() gives the part for batch-norm statistics."""

    @abstractmethod
    def workload(self) -> Any:
        """What one network is priced for, as the task's spaces read it."""

    @abstractmethod
    def supernet(self, space: Space[Any, Any], sharing: WeightSharing) -> Supernet:
        """A fresh supernet, with weights drawn from torch's generator."""

    @abstractmethod
    def standalone(self, space: Space[Any, Any], arch: Arch) -> nn.Module:
        """The network of one arch on its own, with weights drawn from torch's generator."""

    @abstractmethod
    def step(self, model: nn.Module, batch: Any, arch: Arch | None = None) -> Output:
        """Run a network on a batch: a supernet with an arch, any other network without."""

    @abstractmethod
    def metrics(self) -> MetricCollection:
        """Fresh metrics, updated with (logits, targets)."""

    @abstractmethod
    def targets(self, batch: Any) -> Tensor:
        """What `metrics()` compares the logits with."""

    def model(self, name: str, settings: Mapping[str, Any]) -> tuple[nn.Module, tuple[Tensor, ...]]:
        """A network of a model library by its name, weights from torch's generator; inputs to find its layers with.

        Args:
            settings: more arguments of the network.

        Raises:
            UserError: the task has no such network, or the network no such settings.
        """
        raise UserError(f"model={name}: task {self.name} knows no networks by name; give arch= instead")

    def augment(self, batch: Any, generator: torch.Generator) -> Any:
        """A training batch, changed at random."""
        return batch
