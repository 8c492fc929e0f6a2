"""Training and testing the networks of a session with Lightning, from where an earlier process stopped."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers.logger import Logger
from torch import nn

from shiftaddnas.cli.build import build
from shiftaddnas.cli.components import NETWORK_KEYS
from shiftaddnas.cli.progress import TrainingProgress
from shiftaddnas.cli.session import Session
from shiftaddnas.engine import SubnetModule, SupernetModule
from shiftaddnas.engine.checkpoint import ResumeCheckpoint, load_checkpoint
from shiftaddnas.errors import UserError
from shiftaddnas.hardware import CostError
from shiftaddnas.spaces import Arch
from shiftaddnas.supernets import Supernet
from shiftaddnas.tracking import child_generator
from shiftaddnas.tracking.metrics_csv import MetricsCsv
from shiftaddnas.tracking.rank import is_main_process


def prepare_training(session: Session) -> None:
    """Build everything that a setting could make impossible, before anything is begun."""
    if session.config.get("model") is not None:
        if session.config["arch"] is not None:
            raise UserError("arch= and model= are both given; train one of them at a time")
        _ = session.task, session.optimization, session.model_costs, session.distillation
        _trainer(session, [], "check", enable_progress_bar=False)
        return
    if session.has_teacher and session.config["arch"] is None:
        raise UserError("distill= is for one network, of arch= or model=; a supernet is distilled by sampling=sandwich")
    _ = session.distillation, session.score_name
    _ = session.task, session.space, session.sharing, session.optimization, session.schedule, session.sampler
    session.task.check_space(session.space)
    try:
        session.cost(session.space.cheapest(session.prices))
    except CostError as error:
        raise UserError(f"no arch of space {session.space.name} can be priced: {error}") from error
    _trainer(session, [], "check", enable_progress_bar=False)


def fit_supernet(session: Session, supernet: Supernet, callbacks: Sequence[Callback] = ()) -> None:
    """Train a supernet to its end."""
    _fit(session, _supernet_module(session, supernet), "supernet", session.folder.supernet, callbacks)


def validate_supernet(session: Session, supernet: Supernet) -> dict[str, float]:
    """The validation metrics of the largest arch, the cheapest and a random one."""
    trainer = _trainer(session, [], "supernet")
    trainer.validate(_supernet_module(session, supernet), datamodule=session.task.datamodule(), verbose=False)
    return _numbers(trainer.callback_metrics, "val/")


def fit_subnet(
    session: Session,
    network: nn.Module,
    stage: str,
    final: Path,
    *,
    average: Mapping[str, torch.Tensor] | None = None,
    max_epochs: int | None = None,
) -> dict[str, float]:
    """Train a network on its own to its end, unless it was already, and test it; its test metrics.

    Args:
        final: where its checkpoint goes.
        average: what the moving average of its weights begins from, if not from the weights.
    """
    module = SubnetModule(network, session.task, session.optimization, session.seed, session.distillation)
    module.start_average(average or {})
    overrides = {} if max_epochs is None else {"max_epochs": max_epochs}
    trainer = _fit(session, module, stage, final, (), **overrides)
    trainer.test(module, datamodule=session.task.datamodule(), verbose=False)
    test = _numbers(trainer.callback_metrics, "test/")
    if is_main_process():
        network.to(trainer.strategy.root_device)  # Lightning has taken it away
        test |= session.task.final_scores(network, int(trainer.num_test_batches[0]))
    return test


def retrain(session: Session, arch: Arch, stage: str, final: Path) -> dict[str, float]:
    """Train the network of an arch from fresh weights, as `retrain` says; its test metrics.

    The same seed and arch give the same network as `train_command` does.
    """
    return fit_subnet(
        session, session.standalone(arch), stage, final, max_epochs=session.config["retrain"]["max_epochs"]
    )


def _supernet_module(session: Session, supernet: Supernet) -> SupernetModule:
    space = session.space
    probes = {
        "largest": space.cheapest({term: -count for term, count in session.multiplications.items()}),
        "cheapest": space.cheapest(session.prices),
        "random": space.sample(child_generator(session.seed, "probe")),
    }
    return SupernetModule(
        supernet, session.task, session.optimization, session.sampler, session.schedule, probes, session.seed
    )


def _fit(
    session: Session,
    module: pl.LightningModule,
    stage: str,
    final: Path,
    callbacks: Sequence[Callback],
    **overrides: Any,
) -> pl.Trainer:
    resume = session.folder.resume / f"{stage.replace('/', '-')}.ckpt"
    keys = NETWORK_KEYS if session.config.get("model") is None else ("task", "model")
    keep = ResumeCheckpoint(resume, final, {key: session.config[key] for key in keys})
    trainer = _trainer(session, [keep, *callbacks], stage, **overrides)
    if final.is_file():  # an earlier process came this far
        module.load_state_dict(load_checkpoint(final)["state_dict"])
        return trainer
    rows = MetricsCsv(session.folder.metrics, stage=stage)
    rows.truncate(int(load_checkpoint(resume)["global_step"]) if resume.is_file() else 0)
    going_on = resume if resume.is_file() else None
    trainer.fit(module, datamodule=session.task.datamodule(), ckpt_path=going_on, weights_only=True)
    return trainer


def _trainer(session: Session, callbacks: Sequence[Callback], stage: str, **overrides: Any) -> pl.Trainer:
    configured = list(build(session.config["callbacks"], "callbacks").values())
    bar = [TrainingProgress(session.console, stage)] if overrides.get("enable_progress_bar", True) else []
    loggers: list[Logger] = [MetricsCsv(session.folder.metrics, stage=stage)]
    if session.wandb.active:
        loggers.append(session.wandb.logger(stage))
    trainer: pl.Trainer = build(
        {**session.config["trainer"], **overrides},
        "trainer",
        logger=loggers,
        callbacks=[*bar, *configured, *callbacks],
        default_root_dir=session.folder.path,
    )
    return trainer


def _numbers(metrics: Mapping[str, Any], prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): float(value) for name, value in metrics.items() if name.startswith(prefix)}
