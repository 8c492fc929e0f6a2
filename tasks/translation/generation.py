"""Beam search: translations of whole batches by a trained network, with fairseq's generator."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from lightning_fabric.utilities import move_data_to_device
from torch import Tensor, nn

from shiftaddnas.errors import UserError
from tasks.translation.fairseq_adapter import Dictionary, LanguagePairDataset, SequenceGenerator, data_utils


@dataclass(frozen=True)
class Decoding:
    """How a translation is searched for.

    Attributes:
        beam: hypotheses that are followed at a time.
        length_penalty: exponent p of the length T in a hypothesis's score, log p(y) / T^p: greater ones favour longer
            translations.
        max_len_a, max_len_b: a translation has at most max_len_a S + max_len_b tokens, where its batch's longest source
            has S.
        max_tokens: of a batch of text that is not part of a data set, padding among them.

    Raises:
        UserError: a number is out of its range.
    """

    beam: int = 4
    length_penalty: float = 0.6
    max_len_a: float = 0.0
    max_len_b: int = 200
    max_tokens: int = 4096

    def __post_init__(self) -> None:
        for name, least in (("beam", 1), ("max_len_a", 0), ("max_len_b", 1), ("max_tokens", 1)):
            if getattr(self, name) < least:
                raise UserError(f"task.decoding.{name}={getattr(self, name)}; give a number of at least {least}")


def generate(
    network: nn.Module, dictionary: Dictionary, batches: Iterable[dict[str, Any]], decoding: Decoding
) -> Iterator[tuple[int, Tensor]]:
    """The best translation of every sentence of fairseq's batches: its "id" and target symbols (T), the end left out.

    The network is set to evaluation mode; batches are moved to its device.
    """
    generator = SequenceGenerator(
        [network],
        dictionary,
        beam_size=decoding.beam,
        len_penalty=decoding.length_penalty,
        max_len_a=decoding.max_len_a,
        max_len_b=decoding.max_len_b,
    )
    device = next(network.parameters()).device
    for batch in batches:
        found = generator.generate([network], move_data_to_device(batch, device))
        for number, hypotheses in zip(batch["id"].tolist(), found, strict=True):
            tokens: Tensor = hypotheses[0]["tokens"].cpu()
            yield number, tokens[tokens != dictionary.eos()]


def source_batches(sources: Sequence[Tensor], dictionary: Dictionary, max_tokens: int) -> Iterator[dict[str, Any]]:
    """Sentences (S), without translations, in batches of about equal lengths; an "id" is the place in `sources`."""
    lengths = np.array([len(source) for source in sources], dtype=np.int64)
    pairs = LanguagePairDataset(list(sources), lengths, dictionary, shuffle=False)
    order = np.argsort(lengths, kind="stable")
    limit = max(max_tokens, int(lengths.max(initial=0)))
    for numbers in data_utils.batch_by_size(order, pairs.num_tokens, lengths[order], max_tokens=limit):
        yield pairs.collater([pairs[int(number)] for number in numbers])
