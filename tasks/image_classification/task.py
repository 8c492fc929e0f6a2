"""Image classification as a task: cross-entropy, top-1 accuracy, hybrid networks."""

import logging
from collections.abc import Mapping
from pathlib import Path
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
from tasks.image_classification.augmentation import mix, random_shift
from tasks.image_classification.data import ImageData
from tasks.image_classification.layers import ImageWorkload
from tasks.image_classification.space import HybridSpace
from tasks.image_classification.standalone import standalone_network
from tasks.image_classification.supernet import HybridSupernet

log = logging.getLogger("shiftaddnas.model")

TOP5_CLASSES = 100
"""From so many classes on, top-5 accuracy is measured too."""


class ImageClassification(Task):
    """Classify images.

    Args:
        name: how tables and run folders call the task.
        data: a LightningDataModule with image_size, in_channels, num_classes and a calibration_dataloader(); what its
            `free_settings` names, if it has them, may differ from a supernet's training (see `Task.free_settings`).
        label_smoothing: share of the target's weight that is spread over all classes, in training.
        max_shift: training images move by up to this many pixels each way.
        mixup: alpha of mixup, 0 for none; with cutmix, each batch gets one of the two.
        cutmix: alpha of CutMix, 0 for none.

    Raises:
        UserError: a setting is out of its range.
    """

    metric = "accuracy"
    unit = ""
    maximize = True

    def __init__(
        self,
        name: str,
        data: pl.LightningDataModule,
        *,
        label_smoothing: float = 0.0,
        max_shift: int = 0,
        mixup: float = 0.0,
        cutmix: float = 0.0,
    ) -> None:
        self.name = name
        self.data = data
        self.label_smoothing = label_smoothing
        self.max_shift = max_shift
        self.mixup = mixup
        self.cutmix = cutmix
        for setting in ("max_shift", "mixup", "cutmix"):
            if getattr(self, setting) < 0:
                raise UserError(f"task.{setting}={getattr(self, setting)}; allowed are numbers from 0, which is none")
        if not 0 <= label_smoothing <= 1:
            raise UserError(f"task.label_smoothing={label_smoothing}; allowed are shares from 0 to 1")

    def datamodule(self) -> pl.LightningDataModule:
        return self.data

    def workload(self) -> ImageWorkload:
        data: Any = self.data
        return ImageWorkload(data.image_size, data.in_channels, data.num_classes)

    def supernet(self, space: Space[Any, Any], sharing: WeightSharing) -> HybridSupernet:
        return HybridSupernet(self._own(space), self.workload(), sharing)

    def standalone(self, space: Space[Any, Any], arch: Arch) -> nn.Module:
        return standalone_network(self._own(space), self.workload(), arch)

    def model(self, name: str, settings: Mapping[str, Any]) -> tuple[nn.Module, tuple[Tensor, ...]]:
        from tasks.image_classification.models import timm_model  # timm and its models are for those who ask for one

        workload = self.workload()
        size = workload.image_size
        network = timm_model(name, settings, workload)
        if settings.get("pretrained") and (why := self._other_normalization(name)):
            log.warning("%s, unless the network is trained further", why)
        return network, (torch.zeros(1, workload.in_channels, size, size),)

    def pretrained_model(self, name: str, settings: Mapping[str, Any]) -> nn.Module:
        from tasks.image_classification.models import check_pretrained, timm_model

        check_pretrained(name, self.workload())
        if why := self._other_normalization(name):
            raise UserError(why)
        return timm_model(name, {"pretrained": True, **settings}, self.workload())

    def _other_normalization(self, name: str) -> str | None:
        from tasks.image_classification.models import other_normalization

        # Of others' data modules nothing is known.
        return other_normalization(name, self.data.normalization) if isinstance(self.data, ImageData) else None

    def load_foreign_weights(self, network: nn.Module, path: Path) -> bool:
        from tasks.image_classification.released_checkpoint import load_foreign_weights

        return load_foreign_weights(network, path)

    def free_settings(self) -> tuple[str, ...]:
        """Name, recipe and pricing, and what the data module names as its `free_settings`."""
        data = (f"task.data.{name}" for name in getattr(self.data, "free_settings", ()))
        own = (f"task.{name}" for name in ("name", "label_smoothing", "max_shift", "mixup", "cutmix"))
        return "space.name", "space.profile", *own, *data

    def check_space(self, space: Space[Any, Any]) -> None:
        self._own(space)

    def _own(self, space: Space[Any, Any]) -> HybridSpace:
        if not isinstance(space, HybridSpace):
            raise UserError(f"space={space.name} is not a space of images; give task={self.name} one of those")
        return space

    def step(self, model: nn.Module, batch: tuple[Tensor, Tensor], arch: Arch | None = None) -> Output:
        # Labels, or after mixing each class's share: smoothing is linear, so it may come after.
        images, targets = batch
        logits = model(images) if arch is None else model(images, arch)
        smoothing = self.label_smoothing if model.training else 0.0
        if isinstance(logits, tuple):  # both heads of a distilled network, while it trains
            heads = tuple(Output(F.cross_entropy(head, targets, label_smoothing=smoothing), head) for head in logits)
            return Output(torch.stack([head.loss for head in heads]).mean(), torch.stack(logits).mean(0), heads)
        return Output(F.cross_entropy(logits, targets, label_smoothing=smoothing), logits)

    def metrics(self) -> MetricCollection:
        num_classes = self.workload().num_classes
        accuracies = {"accuracy": 1} | ({"top5_accuracy": 5} if num_classes >= TOP5_CLASSES else {})
        # Without groups: torchmetrics would take the two for one where they agree on the first batch.
        return MetricCollection(
            {name: MulticlassAccuracy(num_classes, top_k=k, average="micro") for name, k in accuracies.items()},
            compute_groups=False,
        )

    def targets(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        return batch[1]

    def augment(self, batch: tuple[Tensor, Tensor], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        images, labels = batch
        if self.max_shift:
            images = random_shift(images, self.max_shift, generator)
        if not self.mixup and not self.cutmix:
            return images, labels
        return mix(
            images,
            labels,
            self.workload().num_classes,
            mixup=self.mixup,
            cutmix=self.cutmix,
            generator=generator,
        )
