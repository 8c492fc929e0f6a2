"""The moving average of a network's weights: its formula, its evaluation beside the raw ones, and going on with it."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from composed import built
from shiftaddnas.engine import Distillation, Optimization, SubnetModule, deit_cosine
from shiftaddnas.engine.checkpoint import ResumeCheckpoint, load_checkpoint, network_state
from shiftaddnas.engine.subnet_module import AVERAGE, NETWORK
from shiftaddnas.errors import UserError

pytestmark = pytest.mark.filterwarnings("ignore:.*exists and is not empty", "ignore:.*does not have many workers")
DECAY = 0.8


class Notes(pl.Callback):
    """A copy of a weight and of a running mean after each optimiser step."""

    def __init__(self) -> None:
        self.steps: dict[int, tuple[Tensor, Tensor]] = {}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: Any) -> None:
        network = pl_module.network
        # The batches that follow, until the next step, move the running mean on.
        self.steps.setdefault(
            trainer.global_step, (network[1].weight.detach().clone(), network[2].running_mean.clone())
        )


class KilledError(Exception):
    pass


class StopBefore(pl.Callback):
    """Ends a training abruptly at the start of an epoch, behind the checkpoint of the one before."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == self.epoch:
            raise KilledError


def network() -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10), nn.Dropout(0.2))


def fitted(
    folder: Path,
    *callbacks: pl.Callback,
    resume: Path | None = None,
    ema_decay: float | None = DECAY,
    **settings: Any,
) -> tuple[pl.Trainer, SubnetModule]:
    """Three epochs of five batches, two of which, or the epoch's last, make a step."""
    task = built("task", "task=digits", "seed=3")
    optimization = Optimization(
        partial(torch.optim.AdamW, lr=0.05),
        partial(deit_cosine, warmup_epochs=1),
        interval="epoch",
        ema_decay=ema_decay,
    )
    module = SubnetModule(network(), task, optimization, 3, Distillation(network()))
    keep = ResumeCheckpoint(folder / "resume.ckpt", folder / "final.ckpt", {})
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=3, limit_train_batches=5, limit_val_batches=1, logger=False,
        accumulate_grad_batches=2, enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        callbacks=[keep, *callbacks], default_root_dir=folder, **settings,
    )  # fmt: skip
    trainer.fit(module, datamodule=task.datamodule(), ckpt_path=resume, weights_only=True)
    return trainer, module


def test_the_average_follows_its_formula_by_optimiser_steps(tmp_path: Path) -> None:
    notes = Notes()
    fitted(tmp_path, notes)
    assert list(notes.steps) == [0, *range(1, 10)]
    weight, mean = notes.steps[1]
    for step in range(2, 10):
        weight = DECAY * weight + (1 - DECAY) * notes.steps[step][0]
        mean = DECAY * mean + (1 - DECAY) * notes.steps[step][1]
    checkpoint = load_checkpoint(tmp_path / "final.ckpt")
    average = network_state(checkpoint, AVERAGE)
    torch.testing.assert_close(average["1.weight"], weight)
    torch.testing.assert_close(average["2.running_mean"], mean)
    assert torch.equal(network_state(checkpoint, NETWORK)["1.weight"], notes.steps[9][0])
    assert not any("teacher" in name for name in checkpoint["state_dict"])


def test_both_networks_are_tested(tmp_path: Path) -> None:
    trainer, module = fitted(tmp_path)
    data: Any = module.task.datamodule()
    trainer.test(module, datamodule=data, verbose=False)
    assert module.average is not None
    for postfix, one in (("", module.network), ("_ema", module.average.module)):
        images, labels = next(iter(data.test_dataloader()))
        assert len(labels) == 360
        logits = one.eval()(images)
        accuracy = (logits.argmax(1) == labels).float().mean()
        loss = nn.functional.cross_entropy(logits, labels)
        assert float(trainer.callback_metrics[f"test/accuracy{postfix}"]) == pytest.approx(float(accuracy))
        assert float(trainer.callback_metrics[f"test/loss{postfix}"]) == pytest.approx(loss.item(), rel=1e-5)
    assert trainer.callback_metrics["test/loss"] != trainer.callback_metrics["test/loss_ema"]


def test_a_killed_training_ends_as_the_uninterrupted_one(tmp_path: Path) -> None:
    _, whole = fitted(tmp_path / "whole")
    with pytest.raises(KilledError):
        fitted(tmp_path / "killed", StopBefore(1))
    _, resumed = fitted(tmp_path / "killed", resume=tmp_path / "killed" / "resume.ckpt")
    expected = whole.state_dict()
    assert any(name.startswith(AVERAGE) for name in expected)
    for name, tensor in resumed.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


def test_an_average_goes_on_from_an_earlier_one(tmp_path: Path) -> None:
    optimization = Optimization(partial(torch.optim.SGD, lr=0.1), ema_decay=DECAY)
    module = SubnetModule(network(), built("task", "task=digits"), optimization, 3)
    ones = {name: torch.ones_like(tensor) for name, tensor in module.network.state_dict().items()}
    module.start_average(ones)
    assert module.average is not None
    module.average.update_parameters(module.network)
    expected = DECAY + (1 - DECAY) * module.network.state_dict()["1.weight"]
    torch.testing.assert_close(module.average.module.state_dict()["1.weight"], expected)


@pytest.mark.parametrize("settings", [{"precision": "bf16-mixed"}, {"gradient_clip_val": 0.01}])
def test_the_trainers_settings_take_effect(tmp_path: Path, settings: dict[str, Any]) -> None:
    _, plain = fitted(tmp_path / "plain")
    _, changed = fitted(tmp_path / "changed", **settings)
    weight, other = (one.network.state_dict()["1.weight"] for one in (plain, changed))
    assert other.dtype == torch.float32
    assert torch.isfinite(other).all()
    assert not torch.equal(weight, other)


def test_an_average_needs_more_than_half_precision(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"trainer\.precision=bf16-true .*optim\.ema_decay=null"):
        fitted(tmp_path, precision="bf16-true")


@pytest.mark.parametrize(("precision", "dtype"), [("64-true", torch.float64), ("bf16-true", torch.bfloat16)])
def test_a_teacher_follows_the_precision(tmp_path: Path, precision: str, dtype: torch.dtype) -> None:
    trainer, module = fitted(tmp_path, ema_decay=None, precision=precision)
    assert {parameter.dtype for parameter in module.parameters()} == {dtype}
    assert torch.isfinite(trainer.callback_metrics["train/loss"])


def test_a_torn_checkpoint_of_an_earlier_process_is_left_out(tmp_path: Path) -> None:
    with pytest.raises(KilledError):
        fitted(tmp_path, StopBefore(1))
    good = (tmp_path / "resume.ckpt").read_bytes()
    torn = tmp_path / ".resume.ckpt.partial"
    torn.write_bytes(good[: len(good) // 2])
    with pytest.raises(KilledError):
        fitted(tmp_path, StopBefore(1), resume=tmp_path / "resume.ckpt")
    assert load_checkpoint(tmp_path / "resume.ckpt")["epoch"] == 0
    assert not torn.exists()


class KeepsPath(pl.Callback):
    def state_dict(self) -> dict[str, Any]:
        return {"folder": Path("here")}


def test_a_callback_whose_state_is_no_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="callback KeepsPath keeps more than plain data"):
        fitted(tmp_path, KeepsPath())
