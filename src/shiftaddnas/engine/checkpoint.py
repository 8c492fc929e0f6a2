"""Checkpoints: written whole or not at all, read as data, and never a surprise."""

import io
import pickle
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn

from shiftaddnas.engine.resumable_loader import ResumableLoader
from shiftaddnas.engine.task import Task
from shiftaddnas.errors import UserError


def save_checkpoint(trainer: pl.Trainer, path: Path) -> None:
    """Lightning's checkpoint of everything a training needs to go on; the file appears under its name when complete."""
    _save_partial(trainer, path)
    _complete(trainer, path)


def _save_partial(trainer: pl.Trainer, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    trainer.save_checkpoint(_partial(path))


def _complete(trainer: pl.Trainer, path: Path) -> None:
    if trainer.is_global_zero and _partial(path).exists():
        _partial(path).replace(path)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint as plain data, on the CPU.

    Raises:
        UserError: it is missing, truncated, or holds anything but tensors and plain data.
    """
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(f"checkpoint {path} holds more than data, or is damaged: it was not loaded") from None
    except Exception as error:  # whatever torch says of what it did not write
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"checkpoint {path} is truncated or no checkpoint ({reason})") from None
    if not isinstance(content, dict) or "state_dict" not in content:
        raise UserError(f"checkpoint {path} is no checkpoint of this framework: it has no state_dict")
    return content


def check_symbols(checkpoint: Mapping[str, Any], task: Task, path: Path) -> None:
    """Raise a UserError where a checkpoint was trained with other symbols than a task has; old ones do not say."""
    now, then = task.symbols(), checkpoint.get("symbols", {})
    told = [name for name in now if now[name] is not None and then.get(name) is not None]
    if any(now[name] != then[name] for name in told):
        raise UserError(
            f"checkpoint {path} was trained with other symbols than task={task.name} has now, whose text has changed: "
            "restore the text, or train anew, with fresh=true or in another run folder"
        )


def network_state(checkpoint: Mapping[str, Any], attribute: str) -> dict[str, torch.Tensor]:
    """The weights of the network that a LightningModule keeps under this attribute; empty if it has none."""
    prefix = f"{attribute}."
    state: Mapping[str, torch.Tensor] = checkpoint["state_dict"]
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def state_difference(network: nn.Module, state: Mapping[str, torch.Tensor]) -> str | None:
    """Where a state's tensors are not a network's, in words; None if names and shapes agree."""
    expected = network.state_dict()
    wrong = {
        "missing": expected.keys() - state.keys(),
        "unknown": state.keys() - expected.keys(),
        "of another shape": {name for name in expected.keys() & state if expected[name].shape != state[name].shape},
    }
    found = [f"{len(names)} {what} ({', '.join(sorted(names)[:2])})" for what, names in wrong.items() if names]
    return f"of its tensors {', '.join(found)}" if found else None


class ResumeCheckpoint(pl.Callback):
    """Keeps one checkpoint from which a killed training goes on: of the last finished epoch, or of a later batch.

    In the middle of an epoch it is written only where the training batches come from a `ResumableLoader`.

    Args:
        path: of the checkpoint while the training runs; removed when the training has ended.
        final: of the checkpoint when it has ended.
        config: plain data about the network that goes along in every checkpoint, under "config".
        symbols: the task's, which go along under "symbols".
        minutes: in the middle of an epoch, the time from one checkpoint to the next.
    """

    def __init__(
        self,
        path: Path,
        final: Path,
        config: Mapping[str, Any],
        *,
        symbols: Mapping[str, Any] | None = None,
        minutes: float = 10.0,
    ) -> None:
        self.path = path
        self.final = final
        self.config = dict(config)
        self.symbols = dict(symbols or {})
        self.minutes = minutes
        self._saved_at = time.monotonic()
        self._states_are_data = False

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        checkpoint["config"] = self.config
        checkpoint["symbols"] = self.symbols
        if not self._states_are_data:
            for name, state in checkpoint.get("callbacks", {}).items():
                _check_data(name, state)
            self._states_are_data = True

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._may_save(trainer, batch_idx + 1):
            due = time.monotonic() - self._saved_at >= 60 * self.minutes
            if trainer.strategy.reduce_boolean_decision(due, all=False):
                save_checkpoint(trainer, self.path)
                self._saved_at = time.monotonic()

    def _may_save(self, trainer: pl.Trainer, num_done: int) -> bool:
        """Not while gradients are accumulated, nor right before a validation or the end of the epoch.

        A training that goes on would leave those two out.
        """
        return (
            _is_resumable(trainer)
            and num_done < trainer.num_training_batches
            and num_done % trainer.accumulate_grad_batches == 0
            and not self._validates_next(trainer, num_done)
        )

    def _validates_next(self, trainer: pl.Trainer, num_done: int) -> bool:
        if trainer.check_val_every_n_epoch is None:  # the interval then goes on from epoch to epoch
            num_done = trainer.fit_loop.total_batch_idx + 1
        return trainer.val_check_batch is not None and num_done % trainer.val_check_batch == 0

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if _is_resumable(trainer) and trainer.max_steps != -1:
            # Of a training by steps, Lightning takes up an epoch's end as that of the next.
            return
        # Lightning logs the epoch's metrics after this hook: only then is the epoch over for whoever goes on from here.
        _save_partial(trainer, self.path)
        self._saved_at = time.monotonic()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:  # what an earlier process left unfinished may be torn
            _partial(self.path).unlink(missing_ok=True)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        _complete(trainer, self.path)

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        save_checkpoint(trainer, self.final)
        if trainer.is_global_zero:
            for path in (self.path, _partial(self.path)):
                path.unlink(missing_ok=True)
            with suppress(OSError):  # another stage's checkpoint may lie beside it
                self.path.parent.rmdir()


def _check_data(name: str, state: Any) -> None:
    """Refuse a callback's state that a checkpoint, which is read as data, could not give back."""
    content = io.BytesIO()
    torch.save(state, content)
    content.seek(0)
    try:
        torch.load(content, weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(
            f"callback {name} keeps more than plain data in its state_dict, so no killed training could go on with it; "
            "let it keep numbers, texts, lists, dicts and tensors"
        ) from None


def _is_resumable(trainer: pl.Trainer) -> bool:
    return isinstance(trainer.train_dataloader, ResumableLoader)
