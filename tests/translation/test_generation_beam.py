"""Beam search of trained networks: against a search by hand, whatever the batches, and text in and out."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from toy_translation import SPACE, toy_task, write_text

from shiftaddnas.errors import UserError
from shiftaddnas.sharing import Independent
from tasks.translation import Translation
from tasks.translation.generation import Decoding, generate, source_batches

EOS = 2


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Translation:
    return toy_task(write_text(tmp_path_factory.mktemp("toy")))


@pytest.fixture(scope="module")
def network(task: Translation) -> Any:
    torch.manual_seed(3)
    network = task.standalone(SPACE, SPACE.sample(np.random.default_rng(4)))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2.0)  # decisive
    return network.eval()


def sources(task: Translation) -> list[Tensor]:
    return [task.data.binarized.tokens(line) for line in ("ba de gi", "bu", "da ge bi du ga", "gu gu")]


@torch.no_grad()
def by_hand(network: Any, source: Tensor, decoding: Decoding) -> list[int]:
    """Beam search over whole prefixes, without a state: the best of the hypotheses that ended, by log p / T^p."""
    beams: list[tuple[float, list[int]]] = [(0.0, [EOS])]
    ended: list[tuple[float, list[int]]] = []
    for length in range(1, decoding.max_len_b + 2):
        candidates = []
        for score, prefix in beams:
            logits, _ = network(source[None], torch.tensor([len(source)]), torch.tensor([prefix]))
            log_probs = torch.log_softmax(logits[0, -1], -1)
            log_probs[1] = -math.inf
            if length > decoding.max_len_b:
                log_probs[torch.arange(len(log_probs)) != EOS] = -math.inf
            candidates += [(score + float(log_prob), [*prefix, token]) for token, log_prob in enumerate(log_probs)]
        candidates.sort(reverse=True)
        best = candidates[: 2 * decoding.beam]
        ended += [
            (score / length**decoding.length_penalty, prefix)
            for score, prefix in best[: decoding.beam]
            if prefix[-1] == EOS
        ]
        if len(ended) >= decoding.beam:
            break
        beams = [one for one in best if one[1][-1] != EOS][: decoding.beam]
    return max(ended)[1][1:-1]


@pytest.mark.parametrize("decoding", [Decoding(beam=1, max_len_b=6), Decoding(beam=4, max_len_b=6)])
def test_search_by_hand(task: Translation, network: Any, decoding: Decoding) -> None:
    lines = sources(task)
    batches = source_batches(lines, task.data.source_dictionary, 64)
    found = dict(generate(network, task.data.target_dictionary, batches, decoding))
    assert {number: tokens.tolist() for number, tokens in found.items()} == {
        number: by_hand(network, source, decoding) for number, source in enumerate(lines)
    }


def test_batches_do_not_matter(task: Translation, network: Any) -> None:
    together, alone = (
        dict(
            generate(
                network,
                task.data.target_dictionary,
                source_batches(sources(task), task.data.source_dictionary, max_tokens),
                Decoding(max_len_b=6),
            )
        )
        for max_tokens in (64, 1)
    )
    assert sorted(together) == sorted(alone) == [0, 1, 2, 3]
    assert all(torch.equal(together[number], alone[number]) for number in together)


def test_the_extracted_network_translates(task: Translation) -> None:
    torch.manual_seed(0)
    supernet = task.supernet(SPACE, Independent())
    arch = SPACE.sample(np.random.default_rng(2))
    scores = task.final_scores(supernet.extract(arch), num_batches=2)
    assert list(scores) == ["bleu"]
    assert 0 <= scores["bleu"] < 20


def test_text_keeps_its_lines(task: Translation, network: Any) -> None:
    lines = ["ba de gi", "", "da ge bi du ga", "   ", "gu gu"]
    found = task.translate(network, lines)
    assert len(found) == 5
    assert found[1] == found[3] == ""
    assert [found[0], found[2], found[4]] == task.translate(network, [lines[0], lines[2], lines[4]])
    assert task.translate(network, []) == []


def test_a_line_that_is_too_long(task: Translation, network: Any) -> None:
    with pytest.raises(UserError, match=r"line 7 \('ba ba.* has 31 symbols; at most 16 are translated"):
        task.translate(network, ["ba", "ba " * 30], first_line=6)


@pytest.mark.parametrize(("name", "value"), [("beam", 0), ("max_len_b", 0), ("max_tokens", 0), ("max_len_a", -1.0)])
def test_settings_out_of_range(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=rf"task\.decoding\.{name}={value}"):
        Decoding(**{name: value})
