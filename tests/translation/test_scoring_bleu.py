"""BLEU: values by hand."""

import math

import pytest

from shiftaddnas.errors import UserError
from tasks.translation.scoring import check_language, split_compounds, text_bleu, tokenized_bleu


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a well-known fact", "a well ##AT##-##AT## known fact"),
        ("S-Bahn - Station", "S ##AT##-##AT## Bahn - Station"),
        ("no - hyphen", "no - hyphen"),
        ("up-to-date", "up ##AT##-##AT## to ##AT##-##AT## date"),
        ("a-b-c", "a ##AT##-##AT## b-c"),  # as the usual substitution does it: "b" belongs to the first match
    ],
)
def test_compounds(words: str, expected: str) -> None:
    assert split_compounds(words) == expected


def test_tokenized_by_hand() -> None:
    # 4 of 5 words, 3 of 4 pairs, 2 of 3 triples, 1 of 2 fours.
    assert tokenized_bleu(["a b c d e"], ["a b c d f"]).score == pytest.approx(100 * (1 / 5) ** (1 / 4))
    # All that is there is right, but it is one word short: exp(1 - 6/5).
    assert tokenized_bleu(["a b c d e"], ["a b c d e f"]).score == pytest.approx(100 * math.exp(-0.2))
    # Sums over the corpus, not means over sentences: 8 of 9 words, 6 of 7, 4 of 5, 2 of 3.
    hypotheses, references = ["a b c d e", "a b c d"], ["a b c d f", "a b c d"]
    expected = 100 * (8 / 9 * 6 / 7 * 4 / 5 * 2 / 3) ** (1 / 4)
    assert tokenized_bleu(hypotheses, references).score == pytest.approx(expected)


def test_tokenized_splits_compounds_and_sees_capitals() -> None:
    # "x-y" as one word would have no four words in common; split, four of five words agree, in a row.
    assert tokenized_bleu(["x-y z w"], ["x-y z v"]).score == pytest.approx(100 * (1 / 5) ** 0.25)
    assert tokenized_bleu(["A b c d"], ["a b c d"]).score < 100
    assert tokenized_bleu(["a b c"], ["d e f"]).score == 0


def test_plain_text_is_tokenized_by_sacrebleu() -> None:
    bleu = text_bleu(["Hello, world again!"], ["Hello, world again!"], "de")
    assert bleu.score == pytest.approx(100)
    assert "tok:13a" in bleu.signature
    # Punctuation is a word of its own: 5 of 6 words, 4 of 5, 3 of 4, 2 of 3.
    expected = 100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25
    assert text_bleu(["Hello, world again now!"], ["Hello, world again now?"], "de").score == pytest.approx(expected)


def test_a_language_that_sacrebleu_cannot_tokenize_is_told_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    for language in ("de", "zh", "unheard-of"):
        check_language(language)
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_ja_mecab.MeCab", None)  # whether it is installed or not
    with pytest.raises(UserError, match=r"^BLEU of target_lang=ja cannot be taken: .* pip install sacrebleu\[ja\]$"):
        check_language("ja")
