"""Image classification as a task: cross-entropy, top-1 accuracy, hybrid networks."""

from typing import Any

import pytorch_lightning as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchmetrics import MetricCollection
from torchmetrics.classification import MulticlassAccuracy

from shiftaddnas.engine import Output, Task
from shiftaddnas.errors import UserError
from shiftaddnas.sharing import WeightSharing
from shiftaddnas.spaces import Arch, Space
from tasks.image_classification.augmentation import random_shift
from tasks.image_classification.layers import ImageWorkload
from tasks.image_classification.space import HybridSpace
from tasks.image_classification.supernet import HybridSubnet, HybridSupernet


class ImageClassification(Task):
    """Classify images.

    Args:
        name: how tables and run folders call the task.
        data: a LightningDataModule with image_size, in_channels, num_classes and a calibration_dataloader().
        label_smoothing: share of the target's weight that is spread over all classes, in training.
        max_shift: training images move by up to this many pixels each way.
    """

    metric = "accuracy"
    unit = ""
    maximize = True

    def __init__(
        self, name: str, data: pl.LightningDataModule, *, label_smoothing: float = 0.0, max_shift: int = 0
    ) -> None:
        self.name = name
        self.data = data
        self.label_smoothing = label_smoothing
        self.max_shift = max_shift

    def datamodule(self) -> pl.LightningDataModule:
        return self.data

    def workload(self) -> ImageWorkload:
        data: Any = self.data
        return ImageWorkload(data.image_size, data.in_channels, data.num_classes)

    def supernet(self, space: Space[Any, Any], sharing: WeightSharing) -> HybridSupernet:
        return HybridSupernet(self._own(space), self.workload(), sharing)

    def standalone(self, space: Space[Any, Any], arch: Arch) -> HybridSubnet:
        return HybridSubnet(self._own(space), self.workload(), arch)

    def _own(self, space: Space[Any, Any]) -> HybridSpace:
        if not isinstance(space, HybridSpace):
            raise UserError(f"space={space.name} is not a space of images; give task={self.name} one of those")
        return space

    def step(self, model: nn.Module, batch: tuple[Tensor, Tensor], arch: Arch | None = None) -> Output:
        images, labels = batch
        logits = model(images) if arch is None else model(images, arch)
        smoothing = self.label_smoothing if model.training else 0.0
        return Output(F.cross_entropy(logits, labels, label_smoothing=smoothing), logits)

    def metrics(self) -> MetricCollection:
        return MetricCollection({"accuracy": MulticlassAccuracy(self.workload().num_classes, average="micro")})

    def targets(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return batch[1]

    def augment(self, batch: tuple[Tensor, Tensor], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        images, labels = batch
        return (random_shift(images, self.max_shift, generator) if self.max_shift else images), labels
