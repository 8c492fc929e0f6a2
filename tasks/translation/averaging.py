"""Averages of a training's last weights, which translate a little better than the very last ones."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from shiftaddnas.engine import SubnetModule
from shiftaddnas.errors import UserError


class AverageLastEpochs(pl.Callback):
    """Gives a network, when its training has ended, the mean of the weights that it had after the last epochs.

    The sums are part of every checkpoint, so a resumed training averages what an uninterrupted one does. Supernets are
    left alone.

    Args:
        num_epochs: how many of the last epochs; of a shorter training, all.

    Raises:
        UserError: that is none; or, at the start of a training, it may end by steps, which leaves its last epochs
            unknown.
    """

    def __init__(self, num_epochs: int) -> None:
        if num_epochs < 1:
            raise UserError(f"callbacks.average.num_epochs={num_epochs}; give a whole number of at least 1")
        self.num_epochs = num_epochs
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not isinstance(pl_module, SubnetModule):
            return
        if trainer.max_epochs is None or trainer.max_epochs < 1:
            raise UserError(
                "callbacks=average_last needs trainer.max_epochs, which says what the last epochs are; set it"
            )
        if trainer.max_steps != -1:
            raise UserError(
                f"trainer.max_steps={trainer.max_steps} may end a training before the last epochs, which "
                "callbacks=average_last averages; set trainer.max_epochs alone"
            )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert trainer.max_epochs is not None
        if not isinstance(pl_module, SubnetModule) or trainer.current_epoch < trainer.max_epochs - self.num_epochs:
            return
        for name, tensor in pl_module.network.state_dict().items():
            if tensor.is_floating_point():
                before = self._sums.get(name)
                # A sum in double precision, on the CPU: it is added to once an epoch.
                self._sums[name] = tensor.cpu().double() + (0.0 if before is None else before)
        self._count += 1

    @torch.no_grad()
    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if not self._count:
            return
        assert isinstance(pl_module, SubnetModule)
        for name, tensor in pl_module.network.state_dict().items():
            if name in self._sums:
                tensor.copy_(self._sums[name] / self._count)

    def state_dict(self) -> dict[str, Any]:
        return {"sums": dict(self._sums), "count": self._count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._sums = dict(state_dict["sums"])
        self._count = int(state_dict["count"])
