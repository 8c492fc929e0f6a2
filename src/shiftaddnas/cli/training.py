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
from shiftaddnas.engine.checkpoint import ResumeCheckpoint, check_symbols, load_checkpoint
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
        _check_trainer(session)
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
    _check_trainer(session)


def _check_trainer(session: Session) -> None:
    trainer = _trainer(session, [], "check", enable_progress_bar=False)
    if trainer.max_epochs == trainer.max_steps == -1:
        raise UserError(
            f"trainer.max_epochs={session.config['trainer']['max_epochs']} has no end, and the learning rate follows "
            "how far the training is; set trainer.max_epochs or +trainer.max_steps"
        )


def fit_supernet(session: Session, supernet: Supernet, callbacks: Sequence[Callback] = ()) -> None:
    """Train a supernet to its end."""
    _fit(session, _supernet_module(session, supernet), "supernet", session.folder.supernet, callbacks)


def validate_supernet(session: Session, supernet: Supernet) -> dict[str, float]:
    """The validation metrics of the largest arch, the cheapest and a random one."""
    # In results.json alone: among the metrics it would count as those of the first epoch.
    trainer = _trainer(session, [], "supernet", logs=False)
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
        # Each process tested its share of them.
        num_batches = sum(map(int, trainer.num_test_batches)) * trainer.world_size
        test |= session.task.final_scores(network, num_batches)
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
    config = {key: session.config[key] for key in keys}
    keep = ResumeCheckpoint(resume, final, config, symbols=session.task.symbols())
    rows = MetricsCsv(session.folder.metrics, stage=stage)
    if final.is_file():  # an earlier process came this far
        content = load_checkpoint(final)
        check_symbols(content, session.task, final)
        module.load_state_dict(content["state_dict"])
        # What the test logs is of the training's last step; it may have come as far as that, too.
        tested = rows.reaches(int(content["global_step"]))
        trainer = _trainer(session, [keep, *callbacks], stage, logs=not tested, **overrides)
        trainer.fit_loop.load_state_dict(content["loops"]["fit_loop"])
        return trainer
    trainer = _trainer(session, [keep, *callbacks], stage, **overrides)
    rows.truncate(_steps_done(session, resume) if resume.is_file() else 0)
    going_on = resume if resume.is_file() else None
    trainer.fit(module, datamodule=session.task.datamodule(), ckpt_path=going_on, weights_only=True)
    return trainer


def _steps_done(session: Session, resume: Path) -> int:
    checkpoint = load_checkpoint(resume)
    check_symbols(checkpoint, session.task, resume)
    return int(checkpoint["global_step"])


def _trainer(
    session: Session, callbacks: Sequence[Callback], stage: str, *, logs: bool = True, **overrides: Any
) -> pl.Trainer:
    settings = {**session.config["trainer"], **overrides}
    configured = [one for one in build(session.config["callbacks"], "callbacks").values() if one is not None]
    bar = [TrainingProgress(session.console, stage)] if settings.get("enable_progress_bar", True) else []
    loggers: list[Logger] = [MetricsCsv(session.folder.metrics, stage=stage)] if logs else []
    if logs and session.wandb.active:
        loggers.append(session.wandb.logger(stage))
    trainer: pl.Trainer = build(
        settings,
        "trainer",
        logger=loggers,
        callbacks=[*bar, *configured, *callbacks],
        default_root_dir=session.folder.path,
    )
    return trainer


def _numbers(metrics: Mapping[str, Any], prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): float(value) for name, value in metrics.items() if name.startswith(prefix)}
