"""Searching by the released objective instead of the loss."""

from pathlib import Path

import numpy as np
import pytest
import torch
from toy_translation import SPACE, toy_task, write_text

from shiftaddnas.engine import SupernetEvaluator
from shiftaddnas.search import Feasibility, Limits, RandomSearcher, SearchLog, best, run_search
from shiftaddnas.sharing import Independent
from tasks.translation import TransformerFlops, TranslationWorkload
from tasks.translation.config import DecoderLayerConfig, EncoderLayerConfig, TransformerConfig

CONFIG = TransformerConfig(
    32,
    32,
    (EncoderLayerConfig("lightweight_add", 4, 64), EncoderLayerConfig("self_attention", 4, 64)),
    (DecoderLayerConfig("self_attention", 4, 64, 4, 1),),
)
# For 30 tokens and queries of 32: attention of a layer, the same counted once in 0.6 of it where a lightweight operator
# stands; cross attention to two encoder layers; the decoder's feed-forward network, halved.
ATTENTION = 4 * 30 * 32 * 32 + 2 * 30 * 30 * 32
CROSS = 6 * 30 * 32 * 32 + 4 * 30 * 30 * 32
FEED_FORWARD = 2 * 30 * 32 * 64
REWARD = 2 * (0.6 * ATTENTION + ATTENTION + ATTENTION + CROSS - 0.5 * FEED_FORWARD) / 1e10


def evaluator(folder: Path, score: str | None) -> SupernetEvaluator:
    task = toy_task(folder)
    torch.manual_seed(2)
    return SupernetEvaluator(task.supernet(SPACE, Independent()), task, task.datamodule(), score=score)


def test_the_released_objective_is_the_loss_less_what_it_rewards(tmp_path: Path) -> None:
    write_text(tmp_path)
    arch = SPACE.arch_of(CONFIG)
    plain = evaluator(tmp_path, None)(arch)
    found = evaluator(tmp_path, "released_objective")(arch)
    assert found["released_objective"] == pytest.approx(plain["loss_bits"] - REWARD, abs=1e-9)
    assert found == plain | {"released_objective": found["released_objective"]}


def test_a_search_by_it(tmp_path: Path) -> None:
    write_text(tmp_path)
    cost = TransformerFlops("flops").bind(SPACE, TranslationWorkload(30, 30, 4, 20))
    searcher = RandomSearcher(SPACE, Feasibility(cost, Limits()), np.random.default_rng(1), num_archs=4)
    scored_by = evaluator(tmp_path, "released_objective")
    records = run_search(searcher, scored_by, cost, SearchLog(tmp_path / "search.jsonl"))
    assert len(records) == 4
    for record in records:
        assert record.score == record.metrics["released_objective"]
        assert record.score != record.metrics["loss_bits"]
    assert best(records, scored_by.maximize).score == min(record.score or 0.0 for record in records)
