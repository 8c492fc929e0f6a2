"""Batches of about equally long sentences, so many tokens each, in an order that follows from seed and epoch alone."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler

from shiftaddnas.tracking import child_generator, child_seed
from tasks.translation.fairseq_adapter import LanguagePairDataset, data_utils

Batch = dict[str, Any]


class BatchedPairs(Dataset[Batch]):
    """Pairs of sentences, to be had in whole batches.

    An item is indexed by the numbers of its sentences. It is a batch as fairseq's collater makes it, longest source
    first: "id" (B), "nsentences", "ntokens" (of the targets, without padding), "net_input" with "src_tokens" (B, S,
    padded left), "src_lengths" (B) and "prev_output_tokens" (B, T, the target moved right by the end symbol), and
    "target" (B, T, padded right).
    """

    def __init__(self, pairs: LanguagePairDataset) -> None:
        self.pairs = pairs

    def __getitem__(self, sentences: Sequence[int]) -> Batch:
        batch: Batch = self.pairs.collater([self.pairs[sentence] for sentence in sentences])
        return batch

    def __len__(self) -> int:
        return len(self.pairs)


class FixedBatches(Dataset[Batch]):
    """Batches that stay as they are, in their order. An item is one of them, so that Lightning can deal them out."""

    def __init__(self, part: BatchedPairs, batches: Sequence[NDArray[np.int64]]) -> None:
        self.part = part
        self.batches = batches

    def __getitem__(self, number: int) -> Batch:
        return self.part[self.batches[number].tolist()]

    def __len__(self) -> int:
        return len(self.batches)


def batches_of(
    pairs: LanguagePairDataset, kept: NDArray[np.int64], max_tokens: int, seed: int | None
) -> list[NDArray[np.int64]]:
    """Sentences, sorted by source and then target length, cut into batches.

    Args:
        kept: which sentences, by number.
        max_tokens: of a batch's longer side, padding among them; at least as long as the longest sentence.
        seed: decides how sentences of the same lengths are put together; None: as they are numbered.
    """
    if seed is not None:
        kept = child_generator(seed, "sentences").permutation(kept)
    order = kept[np.lexsort((pairs.tgt_sizes[kept], pairs.src_sizes[kept]))]
    batches: list[NDArray[np.int64]] = data_utils.batch_by_size(
        order, pairs.num_tokens, pairs.num_tokens_vec(order).astype(np.int64), max_tokens=max_tokens
    )
    return [np.asarray(batch) for batch in batches]


class ShuffledBatches(Sampler[Sequence[int]]):
    """The batches in an order of their own for each epoch, dealt out to the processes of a distributed run.

    Every process gets as many; what is left over in an epoch, fewer batches than processes, waits for another one.
    """

    def __init__(self, batches: Sequence[NDArray[np.int64]], seed: int, *, num_replicas: int, rank: int) -> None:
        self.batches = batches
        self.seed = seed
        self.num_replicas = num_replicas
        self.rank = rank
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.batches) // self.num_replicas

    def __iter__(self) -> Iterator[Sequence[int]]:
        generator = torch.Generator().manual_seed(child_seed(self.seed, "order", self.epoch))
        order = torch.randperm(len(self.batches), generator=generator).tolist()
        for turn in range(len(self)):
            yield self.batches[order[turn * self.num_replicas + self.rank]].tolist()
