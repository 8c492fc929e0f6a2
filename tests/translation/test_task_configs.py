"""What the configs of translation choose: a task its space and small recipe, an experiment the paper's."""

from typing import Any

import pytest

from composed import built, compose
from shiftaddnas.cli.app import config_folder

EXPERIMENTS = sorted(path.stem for path in (config_folder() / "experiment" / "translation").glob("*.yaml"))


@pytest.mark.parametrize("root", ["train", "search", "price", "latency"])
@pytest.mark.parametrize(
    ("task", "space"),
    [("digits", "digits"), ("gettext_en_fr", "gettext"), ("wmt14_en_fr", "transformer_en_fr")],
)
def test_a_task_chooses_its_space(root: str, task: str, space: str) -> None:
    assert compose(root, f"task={task}").space.name == space
    assert compose(root, f"task={task}", "space=transformer_v1").space.name == "transformer_v1"


def test_a_small_recipe_holds_for_the_defaults_alone() -> None:
    config = compose("search", "task=gettext_en_de")
    assert config.optim.optimizer.betas == [0.9, 0.98]
    assert config.trainer.max_epochs == 30
    chosen = compose("search", "task=gettext_en_de", "optim=transformer", "search=random")
    assert chosen.optim.optimizer.lr == 1e-3
    assert chosen.trainer.max_epochs == 30


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_experiments_are_of_the_papers_size(name: str) -> None:
    root = "search" if name.startswith("search") else "train"
    overrides = [f"experiment=translation/{name}"]
    config = compose(root, *overrides)
    assert config.task._target_ == "tasks.translation.Translation"
    if name != "supernet_iwslt":
        tokens = config.trainer.accumulate_grad_batches * config.task.data.max_tokens
        assert (config.trainer.max_steps, tokens) == (40_000, 524_288)
    warmup = config.optim.scheduler.warmup * config.trainer.max_steps
    assert warmup == pytest.approx(10_000 if name.startswith("supernet") else 4_000)
    optimization: Any = built("optim", *overrides) if root == "search" else None
    assert optimization is None or optimization.optimizer.keywords["betas"] == (0.9, 0.98)
    # Whoever trains for it on the command line still has the last word.
    assert compose(root, *overrides, "space=transformer_v2").space.name == "transformer_v2"


def test_iwslt() -> None:
    config = compose("train", "experiment=translation/supernet_iwslt")
    assert (config.task.decoding.beam, config.task.decoding.length_penalty) == (5, 1.0)
    assert (config.task.source_length, config.task.target_length) == (23, 23)
    assert config.optim.scheduler._target_ == "shiftaddnas.engine.linear_then_inverse_sqrt"
    assert (config.optim.optimizer.lr, config.trainer.max_steps, config.task.transformer.dropout) == (
        5e-4,
        50_000,
        0.375,
    )
