"""The search as a Lightning callback: it runs on the supernet when its training has ended."""

from collections.abc import Callable

import pytorch_lightning as pl

from shiftaddnas.search.record import Record
from shiftaddnas.tracking.waiting import waiting_for_all


class SearchCallback(pl.Callback):
    """Runs `search` at the end of a fit, in the process of rank 0, and keeps its records; other processes wait.

    Args:
        search: the search over the module that was trained; see `run_search`.
    """

    def __init__(self, search: Callable[[pl.LightningModule], list[Record]]) -> None:
        self.search = search
        self.records: list[Record] | None = None

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        with waiting_for_all():
            if trainer.is_global_zero:
                self.records = self.search(pl_module)
