"""Supernet training on the digits: it learns, repeats itself, and goes on from a checkpoint as if never stopped."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch

from composed import built
from shiftaddnas.engine import (
    FairPaths,
    OperatorSchedule,
    Optimization,
    PathSampler,
    SandwichPaths,
    Stage,
    SupernetEvaluator,
    SupernetModule,
    UniformPaths,
    cosine_with_warmup,
)
from shiftaddnas.engine.checkpoint import ResumeCheckpoint
from shiftaddnas.sharing import Heterogeneous, Quantile, WeightSharing
from shiftaddnas.supernets import Supernet
from tasks.image_classification import HybridSpace, ImageClassification


class StopBefore(pl.Callback):
    """Ends a training abruptly at the start of an epoch, behind the checkpoint of the one before."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            raise KilledError


class KilledError(Exception):
    pass


def task() -> ImageClassification:
    found: ImageClassification = built("task", "task=digits", "seed=3")
    return found


def module(
    space: HybridSpace,
    sampler: PathSampler,
    schedule: OperatorSchedule | None = None,
    sharing: WeightSharing | None = None,
) -> SupernetModule:
    torch.manual_seed(7)
    the_task = task()
    supernet = the_task.supernet(space, sharing or Heterogeneous())
    optimization = Optimization(partial(torch.optim.AdamW, lr=3e-3), cosine_with_warmup)
    cheapest = space.cheapest(dict.fromkeys(space.all_terms(), 1.0))
    schedule = schedule or OperatorSchedule()
    return SupernetModule(supernet, the_task, optimization, sampler, schedule, {"one": cheapest}, seed=3)


def fit(
    module: SupernetModule,
    max_epochs: int,
    *callbacks: pl.Callback,
    ckpt_path: Path | None = None,
    **settings: Any,
) -> dict[str, float]:
    trainer = pl.Trainer(
        max_epochs=max_epochs,
        limit_train_batches=4,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=list(callbacks),
        **settings,
    )
    trainer.fit(
        module, datamodule=module.task.datamodule(), ckpt_path=ckpt_path, weights_only=True if ckpt_path else None
    )
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


def weights(supernet: Supernet) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in supernet.state_dict().items()}


def test_a_killed_training_ends_as_the_uninterrupted_one(digits_space: HybridSpace, tmp_path: Path) -> None:
    schedule = OperatorSchedule([Stage(0.5, ("conv",)), Stage(1.0, None, ("conv",))])
    whole = module(digits_space, UniformPaths(), schedule)
    metrics = fit(whole, 4)
    expected = weights(whole.supernet)

    keep = ResumeCheckpoint(tmp_path / "resume.ckpt", tmp_path / "final.ckpt", {})
    with pytest.raises(KilledError):
        fit(module(digits_space, UniformPaths(), schedule), 4, keep, StopBefore(2))
    assert not (tmp_path / "final.ckpt").exists()
    resumed = module(digits_space, UniformPaths(), schedule)
    resumed_metrics = fit(resumed, 4, keep, ckpt_path=tmp_path / "resume.ckpt")

    for name, tensor in resumed.supernet.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    assert resumed_metrics == metrics
    assert (tmp_path / "final.ckpt").exists()
    assert not (tmp_path / "resume.ckpt").exists()


@pytest.mark.parametrize("sampler", [UniformPaths(), FairPaths(), SandwichPaths(num_random=1)])
def test_every_sampler_learns(digits_space: HybridSpace, sampler: PathSampler) -> None:
    if isinstance(sampler, SandwichPaths):
        taps: dict[Any, float] = dict.fromkeys(digits_space.all_terms(), 1.0)
        sampler.rank_by(taps, taps)
    trained = module(digits_space, sampler)
    losses = [fit(trained, epochs)["val/loss_one"] for epochs in (1, 6)]
    assert losses[1] < losses[0]
    assert losses[1] < 2.2  # ten classes by chance: 2.3


def test_frozen_convolutions_do_not_move_while_adders_learn(digits_space: HybridSpace) -> None:
    trained = module(digits_space, UniformPaths(), OperatorSchedule([Stage(1.0, ("add",), ("conv",))]))
    before = weights(trained.supernet)
    fit(trained, 1)
    after = trained.supernet.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    parameters = {name for name, _ in trained.supernet.named_parameters()}
    assert not {name for name in changed & parameters if ".blocks.conv." in name or ".kernels.shared.shared." in name}
    assert {name for name in changed & parameters if ".blocks.add." in name}
    assert not {name for name in changed & parameters if ".blocks.shift." in name}


def test_scores_do_not_depend_on_what_was_scored_before(digits_space: HybridSpace) -> None:
    trained = module(digits_space, UniformPaths())
    fit(trained, 1)
    before = weights(trained.supernet)
    evaluator = SupernetEvaluator(trained.supernet, trained.task, trained.task.datamodule())
    archs = [digits_space.cheapest(dict.fromkeys(digits_space.all_terms(), sign)) for sign in (1.0, -1.0)]
    archs.append(digits_space.all_cheap(archs[0]))
    first = [evaluator(arch) for arch in archs]
    assert [evaluator(arch) for arch in reversed(archs)] == first[::-1]
    assert len({score["loss"] for score in first}) == len({arch.id for arch in archs})
    for name, tensor in trained.supernet.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert set(first[0]) == {"accuracy", "loss"}


def test_ranks_train_their_own_paths_where_they_should(digits_space: HybridSpace) -> None:
    drawn: dict[tuple[bool, int], list[str]] = {}
    for per_rank in (True, False):
        for rank in (0, 1):
            seen: list[str] = []
            trained = module(digits_space, Noting(UniformPaths(per_rank=per_rank), seen))
            trained.__class__ = type("OnRank", (SupernetModule,), {"global_rank": rank})
            fit(trained, 1)
            drawn[per_rank, rank] = seen
    assert drawn[False, 0] == drawn[False, 1] == drawn[True, 0]
    assert drawn[True, 0] != drawn[True, 1]


class Noting(PathSampler):
    def __init__(self, inner: PathSampler, seen: list[str]) -> None:
        self.inner, self.seen, self.per_rank = inner, seen, inner.per_rank

    def archs(self, space: Any, rng: Any) -> Any:
        archs = self.inner.archs(space, rng)
        self.seen += [arch.id for arch in archs]
        return archs


@pytest.mark.parametrize(
    ("precision", "dtype", "tolerance"),
    [("64-true", torch.float64, 1e-3), ("bf16-true", torch.bfloat16, 0.1), ("bf16-mixed", torch.float32, 0.1)],
)
@pytest.mark.parametrize("sharing", [Heterogeneous(), Quantile()])
def test_every_precision_trains_and_scores(
    digits_space: HybridSpace, precision: str, dtype: torch.dtype, tolerance: float, sharing: WeightSharing
) -> None:
    single, other = (module(digits_space, UniformPaths(), sharing=sharing) for _ in range(2))
    expected = fit(single, 2)["val/loss_one"]
    assert fit(other, 2, precision=precision)["val/loss_one"] == pytest.approx(expected, rel=tolerance)
    assert {parameter.dtype for parameter in other.parameters()} == {dtype}
    evaluator = SupernetEvaluator(other.supernet, other.task, other.task.datamodule())
    assert evaluator(other.probes["one"])["loss"] == pytest.approx(expected, rel=tolerance)


def test_stages_follow_the_steps_where_steps_end_the_training(digits_space: HybridSpace) -> None:
    entered: list[tuple[int, tuple[str, ...] | None]] = []

    class Note(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
            entered.append((trainer.global_step, pl_module._stage.operators))

    schedule = OperatorSchedule([Stage(0.5, ("conv",)), Stage(1.0, ("add",))])
    fit(module(digits_space, UniformPaths(), schedule), 40, Note(), max_steps=8)
    assert entered == [(step, ("conv",) if step <= 4 else ("add",)) for step in range(1, 9)]
