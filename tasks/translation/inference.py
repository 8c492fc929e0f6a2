"""What latencies of translation networks are measured of: the encoder once, then the decoder step by step with a beam.

As ShiftAddNAS (ICML 2022) and HAT (ACL 2020) before it measure: every step decodes all hypotheses, none ends early, and
neither the search among them nor the reordering of what they remember is part of it.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from tasks.translation.fairseq_adapter import Dictionary
from tasks.translation.terms import TranslationWorkload


def translation_run(
    workload: TranslationWorkload, batch_size: int, dictionary: Dictionary, device: str
) -> Callable[[nn.Module], None]:
    """A function that translates `batch_size` sentences of the workload's lengths with a network of fairseq's kind."""
    sources = _sentences(batch_size, workload.source_length, dictionary).to(device)
    lengths = torch.full((batch_size,), workload.source_length, device=device)
    hypotheses = torch.arange(batch_size, device=device).repeat_interleave(workload.beam)
    targets = _sentences(len(hypotheses), workload.target_length, dictionary).flip(1).to(device)  # the end comes first

    def run(network: Any) -> None:
        encoder, decoder = network.encoder, network.decoder
        encoder_out = encoder.reorder_encoder_out(encoder(sources, lengths), hypotheses)
        state: dict[str, Any] = {}
        for length in range(1, workload.target_length + 1):
            decoder(targets[:, :length], encoder_out, incremental_state=state)

    return run


def _sentences(number: int, length: int, dictionary: Dictionary) -> torch.Tensor:
    """The same word again and again, and the end: what words they are changes no time."""
    sentences = torch.full((number, length), len(dictionary) - 1)
    sentences[:, -1] = dictionary.eos()
    return sentences
