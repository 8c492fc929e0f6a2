"""The quality of an arch: a network of its own, trained from fresh weights and tested."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch

from shiftaddnas.engine import Optimization, SubnetModule, Task
from shiftaddnas.spaces import Arch, Space
from shiftaddnas.tracking import child_seed


@dataclass(frozen=True)
class StandaloneTraining:
    """Calls train and test the network of an arch; the same arch gives the same metrics, whatever was trained before.

    Args:
        make_trainer: gives a fresh trainer, which writes nothing.
        seed: of weights, batches and augmentation; with it `shiftaddnas train arch=...` trains the same network.
    """

    task: Task
    space: Space[Any, Any]
    optimization: Optimization
    make_trainer: Callable[[], pl.Trainer]
    seed: int

    def __call__(self, arch: Arch) -> dict[str, float]:
        """Its metrics on the validation and the test part, named val_accuracy, test_loss and the like."""
        with torch.random.fork_rng():
            torch.manual_seed(child_seed(self.seed, "subnet", arch.id))
            network = self.task.standalone(self.space, arch)
        module = SubnetModule(network, self.task, self.optimization, self.seed)
        data, trainer = self.task.datamodule(), self.make_trainer()
        trainer.fit(module, datamodule=data)
        metrics: dict[str, float] = {}
        for part, evaluate in (("val", trainer.validate), ("test", trainer.test)):
            evaluate(module, datamodule=data, verbose=False)
            measured = {name: float(value) for name, value in trainer.callback_metrics.items()}
            metrics |= {
                f"{part}_{name.removeprefix(f'{part}/')}": value
                for name, value in measured.items()
                if name.startswith(f"{part}/")
            }
        return metrics
