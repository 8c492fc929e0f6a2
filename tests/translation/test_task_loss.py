"""The loss of translations: its formula, in what unit, and that every target token counts alike."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_translation import SPACE, toy_task, write_text

from shiftaddnas.engine import SupernetEvaluator
from shiftaddnas.errors import UserError
from shiftaddnas.sharing import Independent
from shiftaddnas.testing.tiny_space import TinySpace
from tasks.translation.token_loss import smoothed_loss, token_metrics

PAD = 1
# Two sentences over four symbols; logits are logarithms of probabilities. The second has one token, then padding.
PROBABILITIES = torch.tensor(
    [[[0.1, 0.2, 0.3, 0.4], [0.25, 0.25, 0.25, 0.25]], [[0.5, 0.125, 0.125, 0.25], [0.97, 0.01, 0.01, 0.01]]]
)
TARGETS = torch.tensor([[3, 2], [0, PAD]])
NLL = [-math.log(0.4), -math.log(0.25), -math.log(0.5)]
SPREAD = [
    -sum(math.log(p) for p in (0.1, 0.2, 0.3, 0.4)) / 4,
    -math.log(0.25),
    -sum(math.log(p) for p in (0.5, 0.125, 0.125, 0.25)) / 4,
]


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_formula_without_padding(smoothing: float) -> None:
    expected = (1 - smoothing) * sum(NLL) + smoothing * sum(SPREAD)
    found = smoothed_loss(PROBABILITIES.log(), TARGETS, padding=PAD, smoothing=smoothing)
    assert float(found) == pytest.approx(expected, rel=1e-6)


def test_metrics_are_bits_and_perplexity_a_token() -> None:
    metrics = token_metrics(PAD, 0.1)
    for row in (0, 1):  # one batch has two tokens, the other one
        metrics.update(PROBABILITIES[row : row + 1].log(), TARGETS[row : row + 1])
    found = metrics.compute()
    bits = (0.9 * sum(NLL) + 0.1 * sum(SPREAD)) / 3 / math.log(2)
    assert float(found["loss_bits"]) == pytest.approx(bits, rel=1e-6)
    # 2^(mean NLL in bits): the geometric mean of 1/0.4, 4 and 2.
    assert float(found["perplexity"]) == pytest.approx((2.5 * 4 * 2) ** (1 / 3), rel=1e-6)


def test_a_score_does_not_depend_on_how_sentences_are_batched(tmp_path: Path) -> None:
    write_text(tmp_path)
    arch = SPACE.sample(np.random.default_rng(1))
    scores = []
    for tokens in (16, 400):
        task = toy_task(tmp_path, eval_max_tokens=tokens)
        torch.manual_seed(2)
        supernet = task.supernet(SPACE, Independent())
        evaluate = SupernetEvaluator(supernet, task, task.datamodule())
        scores.append(evaluate(arch))
        assert scores[-1] == evaluate(arch)
        assert supernet.training
    assert len(task.data.val_dataloader()) < 3
    assert scores[0] == pytest.approx(scores[1], rel=1e-4)
    assert scores[0]["loss"] / math.log(2) == pytest.approx(scores[0]["loss_bits"], rel=1e-5)
    # Of a fresh network: nothing is known of the vocabulary.
    assert scores[0]["perplexity"] > 10


def test_a_step_gives_tokens_and_where_they_are(tmp_path: Path) -> None:
    write_text(tmp_path)
    task = toy_task(tmp_path)
    task.data.setup()
    batch = task.data.parts["test"][range(20)]
    network = task.standalone(SPACE, SPACE.sample(np.random.default_rng(1)))
    with torch.no_grad():
        output = task.step(network, batch)
    num_tokens = int((batch["target"] != PAD).sum())
    assert output.size == num_tokens < batch["target"].numel()
    assert len(output.valid_logits) == num_tokens
    log_probs = torch.log_softmax(output.valid_logits, -1)
    targets = batch["target"][batch["target"] != PAD]
    nll = -log_probs[torch.arange(num_tokens), targets].mean()
    assert float(output.loss) == pytest.approx(float(0.9 * nll - 0.1 * log_probs.mean()), rel=1e-5)


def test_other_spaces_and_languages_without_bleu_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_text(tmp_path)
    task = toy_task(tmp_path)
    task.check_space(SPACE)
    with pytest.raises(UserError, match=r"^space=.* is not a space of transformers; give task=toy one of those$"):
        task.check_space(TinySpace())
    task.data.binarized.target_lang = "ja"
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_ja_mecab.MeCab", None)
    with pytest.raises(UserError, match="BLEU of target_lang=ja cannot be taken"):
        task.check_space(SPACE)


def test_smoothing_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"label_smoothing=1\.5"):
        toy_task(tmp_path, label_smoothing=1.5)
