"""A language of twelve words, and its translation: each word but "bu" in capitals, in reverse order."""

from pathlib import Path
from typing import Any

import numpy as np

from tasks.translation import Translation, TranslationData, TranslationSpace
from tasks.translation.choices import DecoderChoices, EncoderChoices
from tasks.translation.config import SuperShape
from tasks.translation.data import ParallelText, Preparation
from tasks.translation.generation import Decoding
from tasks.translation.modules.settings import TransformerSettings

WORDS = [f"{first}{second}" for first in "bdg" for second in "aeiu"]
SPACE = TranslationSpace(
    "toy",
    SuperShape(32, 32, 64, 64, 4, 4, encoder_layers=2, decoder_layers=2, qkv_dim=32, kernel_sizes=(3, 5)),
    EncoderChoices(
        (32, 16), (2,), ("lightweight_add", "self_attention", "self_attention+lightweight_conv"), (4, 2), (64, 32)
    ),
    DecoderChoices(
        (32, 16), (2, 1), ("self_attention", "self_attention+lightweight_shiftadd"), (4,), (4,), (-1, 1), (64, 32)
    ),
)  # fmt: skip
NO_DROPOUT = TransformerSettings(dropout=0.0, attention_dropout=0.0, weight_dropout=0.0)


def translated(sentence: str) -> str:
    return " ".join(word.upper() for word in reversed(sentence.split()) if word != "bu") or "NIX"


def write_text(folder: Path, *, num_train: int = 300, num_eval: int = 40) -> Path:
    rng = np.random.default_rng(5)
    folder.mkdir(parents=True, exist_ok=True)
    for name, count in (("train", num_train), ("valid", num_eval), ("test", num_eval)):
        lines = [" ".join(rng.choice(WORDS, rng.integers(1, 6))) for _ in range(count)]
        (folder / f"{name}.en").write_text("".join(f"{line}\n" for line in lines))
        (folder / f"{name}.de").write_text("".join(f"{translated(line)}\n" for line in lines))
    return folder


def toy_task(folder: Path, *, max_tokens: int = 64, eval_max_tokens: int = 64, **settings: Any) -> Translation:
    """The task on text that `write_text` has written to the folder."""
    source = ParallelText(
        folder, "en", "de", valid="valid", test="test", output=folder / "prepared",
        preparation=Preparation(subwords="none"),
    )  # fmt: skip
    data = TranslationData(
        source, max_tokens, 3, eval_max_tokens=eval_max_tokens, max_source_length=16, max_target_length=16
    )
    settings = {"transformer": NO_DROPOUT, "decoding": Decoding(max_len_b=12)} | settings
    return Translation("toy", data, **settings)
