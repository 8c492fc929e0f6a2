"""BLEU, in the two ways that translations are compared by: on words as a tokeniser splits them, and on plain text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from shiftaddnas.errors import UserError


@dataclass(frozen=True)
class Bleu:
    """A score from 0 to 100, and sacrebleu's signature of how it was taken."""

    score: float
    signature: str


def split_compounds(words: str) -> str:
    """Words with hyphens split at them, as papers on WMT14 en-de do before they score: the hyphen is ##AT##-##AT##."""
    return re.sub(r"(\S)-(\S)", r"\1 ##AT##-##AT## \2", words)


def tokenized_bleu(hypotheses: Sequence[str], references: Sequence[str]) -> Bleu:
    """Case-sensitive BLEU of tokenised words with compounds split, not smoothed: the score of the papers on WMT14."""
    return _bleu(
        [split_compounds(words) for words in hypotheses],
        [split_compounds(words) for words in references],
        tokenize="none",
        smooth_method="none",
        force=True,  # tokenised text is what is meant
    )


def text_bleu(hypotheses: Sequence[str], references: Sequence[str], language: str) -> Bleu:
    """sacrebleu's own BLEU of plain text, tokenised by sacrebleu as it does for the target language."""
    return _bleu(hypotheses, references, trg_lang=language)


def check_language(language: str) -> None:
    """Raise a UserError where sacrebleu lacks what it tokenises the language with."""
    from sacrebleu.metrics.bleu import BLEU

    try:
        BLEU(trg_lang=language)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(f"BLEU of target_lang={language} cannot be taken: {reason}") from None


def _bleu(hypotheses: Sequence[str], references: Sequence[str], **settings: Any) -> Bleu:
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(**settings)
    score = metric.corpus_score(list(hypotheses), [list(references)])
    return Bleu(float(score.score), str(metric.get_signature()))
