"""Progress that a person can follow: one bar for a training, one for a search, each with the time left."""

from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from shiftaddnas.search import Record, Searcher


def progress_bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:<18}"),
        BarColumn(bar_width=12),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True, elapsed_when_finished=True),
        TextColumn("{task.fields[status]}"),
        console=console,
    )


class TrainingProgress(ProgressBar):
    """A bar over the epochs of one training, moved batch by batch, with the metrics that are logged for it.

    A training that `max_steps` bounds has a bar over its steps.
    """

    def __init__(self, console: Console, description: str) -> None:
        super().__init__()
        self._bar = progress_bar(console)
        self._description = description.rpartition("/")[2].replace("_", " ")
        self._task: TaskID | None = None
        self._enabled = True

    def disable(self) -> None:
        self._enabled = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self._enabled and trainer.is_global_zero:
            total = trainer.max_epochs if trainer.max_epochs and trainer.max_epochs > 0 else None
            if trainer.max_steps > 0:
                total = trainer.max_steps
            self._task = self._bar.add_task(self._description, total=total, status="")
            self._bar.update(self._task, completed=self._completed(trainer, 0.0))
            self._bar.start()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self._task is not None:
            share = (batch_idx + 1) / max(1, trainer.num_training_batches)
            self._bar.update(self._task, completed=self._completed(trainer, share))

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = self.get_metrics(trainer, pl_module)  # all processes together: it reduces over them
        if self._task is not None:
            shown = [f"{name} {value:.3g}" for name, value in metrics.items() if isinstance(value, float)]
            self._bar.update(self._task, completed=self._completed(trainer, 1.0), status=", ".join(shown))

    def _completed(self, trainer: pl.Trainer, share: float) -> float:
        return trainer.global_step if trainer.max_steps > 0 else trainer.current_epoch + share

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._bar.stop()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self._bar.stop()


class SearchProgress:
    """A bar over the evaluations of one search: generation, best score, share of drawn archs within the limits."""

    def __init__(self, console: Console, searcher: Searcher, maximize: bool) -> None:
        self._searcher = searcher
        self._maximize = maximize
        self._best: float | None = None
        self._bar = progress_bar(console)
        self._task = self._bar.add_task("search", total=searcher.num_evaluations, status="")

    def __enter__(self) -> "SearchProgress":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def update(self, record: Record) -> None:
        if record.score is not None:
            better = max if self._maximize else min
            self._best = record.score if self._best is None else better(self._best, record.score)
        feasible = self._searcher.feasible.num_passed / max(1, self._searcher.feasible.num_asked)
        best = "none" if self._best is None else f"{self._best:.4g}"
        status = f"generation {record.generation}, best {best}, {feasible:.0%} feasible"
        self._bar.update(self._task, completed=record.index + 1, status=status)
