"""Held-out parts have no near-duplicates of what is learnt from, and depend on the text alone."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shiftaddnas.errors import UserError
from tasks.translation.data.split import MAX_CLUSTER, clusters, split
from tasks.translation.data.text import Pair

SAVE = Pair("Do you want to save it?", "Speichern?")


def together(*sources: str) -> bool:
    pairs = [Pair(source, f"Satz {'abc'[number]}") for number, source in enumerate(sources)]
    return len(set(clusters(pairs).tolist())) == 1


def test_one_word_apart_belongs_together() -> None:
    assert together("Delete the selected page now", "delete the selected page, now!")  # case and signs
    assert together("Wait 10 seconds", "Wait 250 seconds")  # numbers
    assert together("Delete the selected page now", "Delete the selected image now")  # replaced
    assert together("Delete the selected page now", "Delete the selected page")  # left out
    assert together("Delete the selected page", "Delete the one selected page")  # added
    assert together("a b c d e", "a b c d f", "a b c g f")  # by way of the second


def test_more_than_one_word_apart_does_not() -> None:
    assert not together("Delete the selected page now", "Delete the chosen image now")
    assert not together("Add page", "Add user")  # too short for a word to be little
    assert not together("…", "!")  # signs alone are their own words


def test_the_same_translation_belongs_together() -> None:
    assert len(set(clusters([Pair("Quit now", "Jetzt beenden"), Pair("Exit", "jetzt beenden!")]).tolist())) == 1


def word_distance(one: list[str], other: list[str]) -> int:
    """Levenshtein's distance of words, by its recurrence."""
    row = list(range(len(other) + 1))
    for i, word in enumerate(one, start=1):
        last, row = row, [i]
        for j, against in enumerate(other, start=1):
            row.append(min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (word != against)))
    return row[-1]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from("abcde"), min_size=4, max_size=6), min_size=2, max_size=12))
def test_all_that_are_one_word_apart_are_found(sentences: list[list[str]]) -> None:
    found = clusters([Pair(" ".join(words), f"Satz {'x' * number}") for number, words in enumerate(sentences)])
    for (i, one), (j, other) in itertools.combinations(enumerate(sentences), 2):
        if word_distance(one, other) <= 1:
            assert found[i] == found[j]


def corpus(count: int) -> list[Pair]:
    rng = np.random.default_rng(0)
    words = [f"w{''.join(rng.choice(list('abcdefgh'), 6))}" for _ in range(400)]
    return [Pair(" ".join(rng.choice(words, 6)), f"{' '.join(rng.choice(words, 6))}") for _ in range(count)]


def test_the_parts_follow_from_the_text_alone() -> None:
    pairs = corpus(2000)
    part = {pair: name for name, pair in split(pairs, 0.1, 0.2)}
    assert list(part) == pairs
    counts = [sum(name == wanted for name in part.values()) for wanted in ("train", "valid", "test")]
    # Three standard deviations of a binomial count.
    assert abs(counts[1] - 200) < 41
    assert abs(counts[2] - 400) < 54
    shuffled = {pair: name for name, pair in split(pairs[::-1], 0.1, 0.2)}
    assert shuffled == part
    some = {pair: name for name, pair in split(pairs[:1000], 0.1, 0.2)}
    assert some == {pair: part[pair] for pair in pairs[:1000]}


def test_no_cluster_is_torn_apart_and_large_ones_are_learnt_from() -> None:
    verbs = ["Delete", "Copy", "Move", "Open", "Close", "Print", "Share", "Export", "Import"]
    large = [Pair(f"{verb} the selected page now", f"{verb} Seite") for verb in verbs[: MAX_CLUSTER + 1]]
    small = [[Pair(f"{' '.join(pair.source.split()[:5])} {end}", f"{pair.target} {end}") for end in ("x", "y")]
             for pair in corpus(300)]  # fmt: skip
    pairs = large + [pair for two in small for pair in two]
    part = {pair: name for name, pair in split(pairs, 0.3, 0.3)}
    assert {part[pair] for pair in large} == {"train"}
    assert all(part[one] == part[other] for one, other in small)


def test_too_little_text_is_refused() -> None:
    with pytest.raises(UserError, match="leave none for"):
        list(split([SAVE], 0.1, 0.1))


def test_a_part_without_a_share_may_be_empty() -> None:
    assert {name for name, _ in split(corpus(200), 0.0, 0.2)} == {"train", "test"}
