"""Parallel text as Lightning reads it: three parts in batches of so many tokens."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Sampler

from shiftaddnas.engine import ResumableLoader
from shiftaddnas.errors import UserError
from tasks.translation.data.batches import BatchedPairs, FixedBatches, ShuffledBatches, batches_of
from tasks.translation.data.binarized import FILE_NAMES, Binarized
from tasks.translation.data.sources import TranslationSource
from tasks.translation.data.text import log
from tasks.translation.fairseq_adapter import Dictionary, LanguagePairDataset


class TranslationData(pl.LightningDataModule):
    """Pairs of sentences in three parts: networks learn from "train", a search scores on "val", "test" is for the end.

    Batches are fairseq's (see `BatchedPairs`). The order of the training batches follows from seed and epoch alone.
    Text is prepared when something of it is first asked for; nothing is downloaded.

    Args:
        source: where the text comes from.
        max_tokens: in a training batch of one process, of its longer side, padding among them.
        seed: of the order of the training batches.
        eval_max_tokens: the same of batches in validation, search and test; None: max_tokens.
        max_source_length: tokens of a source sentence, its end among them.
        max_target_length: tokens of a translation.
        max_too_long: the greatest share of the training pairs that may be left out as longer than that; a pair of
            another part must not be.
        num_symbols: of the target dictionary; None counts them. A number is compared with what is found, and asks for
            no data before a training.
        num_workers: processes that load, of each loader.

    Raises:
        UserError: settings contradict each other; when the text is first asked for, it is missing or not as expected.
    """

    def __init__(
        self,
        source: TranslationSource,
        max_tokens: int,
        seed: int,
        *,
        eval_max_tokens: int | None = None,
        max_source_length: int = 1024,
        max_target_length: int = 1024,
        max_too_long: float = 0.01,
        num_symbols: int | None = None,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        self.source = source
        self.max_tokens = max_tokens
        self.seed = seed
        self.eval_max_tokens = eval_max_tokens or max_tokens
        self.max_source_length = max_source_length
        self.max_target_length = max_target_length
        self.max_too_long = max_too_long
        self.num_workers = num_workers
        self.parts: dict[str, BatchedPairs] = {}
        self._num_symbols = num_symbols
        self._batches: dict[str, list[NDArray[np.int64]]] = {}
        longest = max(max_source_length, max_target_length)
        for name in ("max_tokens", "eval_max_tokens"):
            if getattr(self, name) < longest:
                raise UserError(
                    f"task.data.{name}={getattr(self, name)} is less than the longest sentence may have; set it to "
                    f"{longest} or more, or lower task.data.max_source_length and max_target_length"
                )

    @cached_property
    def binarized(self) -> Binarized:
        """The prepared text, with its dictionaries, and text of tokens and tokens of text."""
        return self.source.binarized()

    @property
    def source_dictionary(self) -> Dictionary:
        return self.binarized.source_dictionary

    @property
    def target_dictionary(self) -> Dictionary:
        return self.binarized.target_dictionary

    @property
    def joined_dictionary(self) -> bool:
        """Whether both languages have the same symbols under the same numbers, so that embeddings can be shared."""
        return bool(self.source_dictionary == self.target_dictionary)

    @property
    def num_symbols(self) -> int:
        """Of the target dictionary."""
        if self._num_symbols is None:
            self._num_symbols = len(self.target_dictionary)
        return self._num_symbols

    def prepare_data(self) -> None:
        _ = self.binarized

    def setup(self, stage: str | None = None) -> None:
        if self.parts:
            return
        if len(self.target_dictionary) != self.num_symbols:
            raise UserError(
                f"task.data.num_symbols={self.num_symbols}, but {self.binarized.root} has "
                f"{len(self.target_dictionary)} symbols"
            )
        parts = {name: self.binarized.dataset(name) for name in FILE_NAMES}
        for name, pairs in parts.items():
            kept = self._short_enough(name, pairs)
            trained = name == "train"
            self._batches[name] = batches_of(
                pairs, kept, self.max_tokens if trained else self.eval_max_tokens, self.seed if trained else None
            )
        self.parts = {name: BatchedPairs(pairs) for name, pairs in parts.items()}

    def _short_enough(self, name: str, pairs: LanguagePairDataset) -> NDArray[np.int64]:
        everything = np.arange(len(pairs), dtype=np.int64)
        limits = (self.max_source_length, self.max_target_length)
        kept, too_long = pairs.filter_indices_by_size(everything, limits)
        if not too_long:
            return np.asarray(kept)
        many = (
            f"{len(too_long)} of {len(pairs)} pairs are longer than {limits[0]} and {limits[1]} tokens, the first is "
            f"{self.binarized.place(name, too_long[0])}"
        )
        if name != "train":
            raise UserError(f"{many}; none of this part may be: raise task.data.max_source_length, max_target_length")
        if len(too_long) > self.max_too_long * len(pairs) or len(too_long) == len(pairs):
            raise UserError(
                f"{many}; allowed are {self.max_too_long:.1%}: raise task.data.max_source_length and "
                "max_target_length, or task.data.max_too_long"
            )
        log.warning("%s; they are left out", many)
        return np.asarray(kept)

    def train_dataloader(self) -> ResumableLoader:
        replicas, rank = (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)
        batches = self._batches["train"]
        sampler = ShuffledBatches(batches, self.seed, num_replicas=replicas, rank=rank)
        if not len(sampler):
            raise UserError(
                f"task.data.max_tokens={self.max_tokens} makes {len(batches)} training batches for {replicas} "
                "processes; lower it or train with fewer"
            )
        return ResumableLoader(self._loader(self.parts["train"], sampler), self.trainer)

    def val_dataloader(self) -> DataLoader[Any]:
        return self._whole("val")

    def test_dataloader(self) -> DataLoader[Any]:
        return self._whole("test")

    def calibration_dataloader(self) -> DataLoader[Any]:
        """Nothing: there are no batch norms whose statistics it would be for."""
        return self._loader(FixedBatches(self.parts["train"], []))

    def _whole(self, name: str) -> DataLoader[Any]:
        return self._loader(FixedBatches(self.parts[name], self._batches[name]))

    def _loader(
        self, part: BatchedPairs | FixedBatches, sampler: Sampler[Sequence[int]] | None = None
    ) -> DataLoader[Any]:
        # No batch size: an item is a batch.
        return DataLoader(
            part,
            batch_size=None,
            sampler=sampler,
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )
