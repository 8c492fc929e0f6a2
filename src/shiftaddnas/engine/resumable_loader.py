"""Batches that a resumed training takes up in the middle of an epoch."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import pytorch_lightning as pl
from torch.utils.data import DataLoader


class ResumableLoader:
    """A training loader that starts, in a resumed epoch, behind the batches that were trained already.

    The order must follow from the epoch alone: whichever of the loader's samplers has `set_epoch` is told it. Skipped
    batches are not read. Give it to Lightning in place of the loader; it then shards nothing by itself, so in a
    distributed run the sampler must.

    Args:
        loader: draws whole batches by a batch sampler, or by a sampler where its items are batches; its class is made
            with the arguments of DataLoader.
        trainer: that runs the training; None leaves epoch and position to the samplers.
    """

    def __init__(self, loader: DataLoader[Any], trainer: pl.Trainer | None) -> None:
        self.loader = loader
        self._trainer = trainer

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        # Lightning asks for the iterator before it knows epoch and position; a generator starts with its first batch.
        num_done = 0 if self._trainer is None else self._seek(self._trainer)
        yield from self.loader if num_done == 0 else self._rest(num_done)

    def _seek(self, trainer: pl.Trainer) -> int:
        """Tell the samplers the epoch; how many of its batches are done."""
        settings: Any = trainer
        loop: Any = trainer.fit_loop
        # Who learns a few batches by heart gets the same ones in every epoch.
        epoch = 0 if settings.overfit_batches else loop.epoch_progress.current.processed
        loader = self.loader
        samplers: list[Any] = [loader.sampler, loader.batch_sampler, getattr(loader.batch_sampler, "sampler", None)]
        for sampler in samplers:
            if hasattr(sampler, "set_epoch"):
                sampler.set_epoch(epoch)
        num_done: int = loop.epoch_loop.batch_progress.current.ready
        return num_done

    def _rest(self, num_done: int) -> DataLoader[Any]:
        """A loader of the same class, which may do more than load, of the batches that are left."""
        loader = self.loader
        whole: Any = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
        rest: Any = list(islice(iter(whole), num_done, None))
        return type(loader)(
            loader.dataset,
            **({"batch_size": None, "sampler": rest} if loader.batch_sampler is None else {"batch_sampler": rest}),
            collate_fn=loader.collate_fn,
            num_workers=loader.num_workers,
            pin_memory=loader.pin_memory,
            worker_init_fn=loader.worker_init_fn,
            multiprocessing_context=loader.multiprocessing_context,
        )

    # Lightning takes a loader with these two for one that can go on; the position itself is in its own progress.

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        assert not state, f"the loader keeps no state of its own, but was given {sorted(state)}"
