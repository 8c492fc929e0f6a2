"""What a task offers: its data, its networks, its loss and its metric. Everything else serves every task."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
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
    """A LightningDataModule that also has a fixed part of the training data for batch-norm statistics.

    Where no network has batch norms, that part is never asked for.
    """

    def setup(self, stage: str | None = None) -> None: ...
    def val_dataloader(self) -> DataLoader[Any]: ...
    def calibration_dataloader(self) -> DataLoader[Any]: ...


@dataclass(frozen=True)
class Output:
    """What a network gives for a batch.

    Attributes:
        loss: the mean over the batch's samples, a scalar.
        logits: (..., classes).
        heads: the two of a network that has a second head for a teacher, while it trains.
        num_samples: where it varies from batch to batch, as that of target tokens does: what counts equally is then
            the sample, in gradients and in metrics, not the batch. None: one sample for each row of logits.
        valid: which logits are of samples, (...); None: all. The others are of padding.
    """

    loss: Tensor
    logits: Tensor
    heads: tuple["Output", ...] = ()
    num_samples: int | None = None
    valid: Tensor | None = None

    @property
    def size(self) -> int:
        """The number of samples that the loss is the mean of."""
        return len(self.logits) if self.num_samples is None else self.num_samples

    @property
    def valid_logits(self) -> Tensor:
        """The logits of the samples, (N, classes)."""
        return self.logits.flatten(0, -2) if self.valid is None else self.logits[self.valid]


class Task(ABC):
    """Data and metric, and how networks of a space are built and run on them.

    Attributes:
        metric: the name of the score, a key of `metrics()`.
        unit: the score's unit, "" where it has none.
        maximize: whether a greater score is better.
        other_scores: names of what a search may score by instead, in the same unit and direction, see `other_score`.
        final_metrics: the names of `final_scores`, which tables show beside the score.
        no_export: why `shiftaddnas export` cannot write the task's networks, and what to do instead; "" where it can.
    """

    name: str
    metric: str
    unit: str
    maximize: bool
    other_scores: tuple[str, ...] = ()
    final_metrics: tuple[str, ...] = ()
    no_export: str = ""

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

    def pretrained_model(self, name: str, settings: Mapping[str, Any]) -> nn.Module:
        """A network of a model library with the weights that the library has for this task's classes.

        Raises:
            UserError: there is none.
        """
        raise UserError(f"{name}: task {self.name} knows no trained networks by name; give a run folder instead")

    def load_foreign_weights(self, network: nn.Module, path: Path) -> bool:
        """Give a network the weights of a file that another project wrote; whether the file is such a one.

        Raises:
            UserError: it is, but of another network.
        """
        return False

    def check_space(self, space: Space[Any, Any]) -> None:
        """Raise a UserError where the networks of a space are none for this task."""
        return

    def free_settings(self) -> tuple[str, ...]:
        """The settings, by their full names, that a supernet may be used with otherwise than it was trained.

        They change neither the networks of a space nor which samples a part of the data has: seeds, batch sizes and
        recipes, but no image size and no held-out share. By default there are none: all of `task` and `space` must be
        as it was.
        """
        return ()

    def symbols(self) -> dict[str, Any]:
        """What the networks' inputs and outputs are numbered by, as plain data; {} where that cannot change.

        It goes along in every checkpoint, and checkpoints that have another are refused; None is not known.
        """
        return {}

    def use_symbols(self, kept: Mapping[str, Any]) -> None:
        """Take what a checkpoint kept of `symbols` for the data's own, which then need not be there."""
        return

    def other_score(self, name: str, space: Space[Any, Any], arch: Arch, metrics: Mapping[str, float]) -> float:
        """One of `other_scores` of an arch, from its metrics on the validation part."""
        raise NotImplementedError(name)

    def inference(self, example: nn.Module, batch_size: int, device: str) -> Callable[[nn.Module], Any]:
        """What latencies are measured of: a function that runs a network as it is used, on inputs that stay the same.

        By default that is one forward pass, of the first samples of the validation part; they are repeated where there
        are fewer.

        Args:
            example: some network of the task, to find what networks are given.
            batch_size: samples that a network is given at once.
            device: where the networks are.
        """
        inputs = _validation_inputs(self, example, batch_size, device)
        return lambda network: network(*inputs)

    def final_scores(self, network: nn.Module, num_batches: int) -> dict[str, float]:
        """Scores of a finished network on the test part that are too costly to take while it trains; none by default.

        Args:
            num_batches: the first so many of the test part.
        """
        return {}

    def translate(self, network: nn.Module, lines: Sequence[str], *, first_line: int = 1) -> list[str]:
        """The translation of each line; of an empty one, an empty one.

        Args:
            first_line: the number of the first of them in the text they are from, for messages.

        Raises:
            UserError: the task does not translate, or a line cannot be.
        """
        raise UserError(f"task {self.name} does not translate text; give the run folder of a translation task")

    def augment(self, batch: Any, generator: torch.Generator) -> Any:
        """A training batch, changed at random."""
        return batch


def _validation_inputs(task: Task, example: nn.Module, batch_size: int, device: str) -> tuple[Tensor, ...]:
    data: Any = task.datamodule()
    data.setup("validate")
    seen: list[tuple[Tensor, ...]] = []
    handle = example.eval().register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    with torch.inference_mode():
        task.step(example, next(iter(data.val_dataloader())))
    handle.remove()
    return tuple(tensor[torch.arange(batch_size) % len(tensor)].to(device) for tensor in seen[0])
