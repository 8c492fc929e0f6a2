"""What a command works with: its objects, built from the config, its run folder and its trackers."""

import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import pytorch_lightning as pl
import torch
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.loggers.logger import Logger
from rich.console import Console
from torch import nn

from shiftaddnas.cli.app import SWEEP, plain_config
from shiftaddnas.cli.build import build
from shiftaddnas.cli.model import load_weights, name_and_settings, traced_costs
from shiftaddnas.cli.progress import TrainingProgress
from shiftaddnas.cli.repeat import config_options, train_command
from shiftaddnas.cli.teacher import distillation
from shiftaddnas.engine import (
    Distillation,
    OperatorSchedule,
    Optimization,
    PathSampler,
    SandwichPaths,
    SubnetModule,
    SupernetModule,
    Task,
)
from shiftaddnas.engine.checkpoint import ResumeCheckpoint, load_checkpoint, network_state
from shiftaddnas.errors import UserError
from shiftaddnas.files import write_atomically
from shiftaddnas.hardware import Arithmetic, BoundCost, CostError, HardwareCost
from shiftaddnas.sharing import WeightSharing
from shiftaddnas.spaces import Arch, Space, Term
from shiftaddnas.supernets import Supernet
from shiftaddnas.tracking import RunFolder, State, child_generator, child_seed
from shiftaddnas.tracking.metrics_csv import MetricsCsv
from shiftaddnas.tracking.rank import process_rank
from shiftaddnas.tracking.wandb_run import WandbRun

NETWORK_KEYS = ("task", "space", "sharing")


@dataclass
class Session:
    """One run of a command. `config` is the resolved config as plain containers."""

    config: Mapping[str, Any]
    folder: RunFolder
    console: Console
    wandb: WandbRun
    _seconds: dict[str, float] = field(default_factory=dict)
    _average: Mapping[str, torch.Tensor] = field(default_factory=dict)  # of the weights of ckpt=

    # Objects, each built once

    def _build(self, name: str, **given: Any) -> Any:
        return build(self.config[name], name, **given)

    @cached_property
    def task(self) -> Task:
        task: Task = self._build("task")
        return task

    @cached_property
    def space(self) -> Space[Any, Any]:
        space: Space[Any, Any] = self._build("space")
        return space

    @cached_property
    def sharing(self) -> WeightSharing:
        sharing: WeightSharing = self._build("sharing")
        return sharing

    @cached_property
    def hardware(self) -> HardwareCost:
        hardware: HardwareCost = self._build("hardware")
        return hardware

    @cached_property
    def cost(self) -> BoundCost:
        return self.hardware.bind(self.space, self.task.workload())

    @cached_property
    def optimization(self) -> Optimization:
        optimization: Optimization = self._build("optim")
        return optimization

    @cached_property
    def schedule(self) -> OperatorSchedule:
        schedule: OperatorSchedule = self._build("schedule")
        return schedule

    @cached_property
    def sampler(self) -> PathSampler:
        sampler: PathSampler = self._build("sampling")
        if isinstance(sampler, SandwichPaths):
            sampler.rank_by(self.multiplications, self.prices)
        return sampler

    @property
    def seed(self) -> int:
        return int(self.config["seed"])

    @property
    def objective(self) -> str:
        """The cost that a front is drawn over: the one that is set, or the first that the hardware names."""
        names = [metric.name for metric in self.hardware.metrics]
        objective: str | None = self.config.get("objective")
        if objective is not None and objective not in names:
            raise UserError(f"objective={objective} is no metric of the hardware; its metrics: {', '.join(names)}")
        return objective or names[0]

    @property
    def score_name(self) -> str:
        """What archs are searched by: the score that is set, or the task's metric."""
        names = (self.task.metric, *self.task.other_scores)
        score: str | None = self.config.get("score")
        if score is not None and score not in names:
            raise UserError(f"score={score} is no score of task {self.task.name}; allowed: {', '.join(names)}")
        return score or self.task.metric

    def _term_taps(self, arithmetics: Collection[str]) -> dict[Term, float]:
        workload = self.task.workload()
        return {
            term: sum(layer.num_taps for layer in self.space.layers(term, workload) if layer.arithmetic in arithmetics)
            for term in self.space.all_terms()
        }

    @cached_property
    def multiplications(self) -> Mapping[Term, float]:
        return self._term_taps(("mult",))

    @cached_property
    def prices(self) -> Mapping[Term, float]:
        """The objective cost of every term if it is a sum over layers (infinite where the model fails); else taps."""
        prices = self.cost.by_term(self.objective)
        return self._term_taps(get_args(Arithmetic)) if prices is None else prices

    def costs(self, arch: Arch) -> dict[str, float]:
        """What an arch costs; nothing, with a note, where the model fails on it."""
        try:
            return dict(self.cost(arch).values)
        except CostError as error:
            self.console.print(f"note: {error}")
            return {}

    @cached_property
    def distillation(self) -> Distillation | None:
        """What a single network learns from; nothing where it is only tested."""
        learns = self._has_teacher and self.config["trainer"]["max_epochs"] != 0
        return distillation(self.config["distill"], self.task) if learns else None

    @property
    def _has_teacher(self) -> bool:
        # An experiment may name one even where distill=none is said beside it.
        return "_target_" in (self.config.get("distill") or {})

    @property
    def model(self) -> nn.Module:
        """The network that model= names, with the weights of ckpt=, or fresh ones."""
        return self._model_and_inputs[0]

    @cached_property
    def _model_and_inputs(self) -> tuple[nn.Module, tuple[torch.Tensor, ...]]:
        name, settings = name_and_settings(self.config["model"])
        with self._seeded("model", name):
            network, inputs = self.task.model(name, settings)
        if self.config["ckpt"] is not None:
            self._average = load_weights(network, Path(self.config["ckpt"]), self.task)
        return network, inputs

    @cached_property
    def model_costs(self) -> dict[str, float]:
        """What it costs; nothing, with a note, where the hardware fails on it."""
        name, _ = name_and_settings(self.config["model"])
        try:
            costs, notes = traced_costs(name, *self._model_and_inputs, self.hardware)
        except CostError as error:
            costs, notes = {}, (str(error),)
        for note in notes:
            self.console.print(f"note: {note}")
        return costs

    def prepare(self) -> None:
        """Build everything that a setting could make impossible, before anything is begun."""
        if self.config.get("model") is not None:
            if self.config["arch"] is not None:
                raise UserError("arch= and model= are both given; train one of them at a time")
            _ = self.task, self.optimization, self.model_costs, self.distillation
            self._trainer([], "check", enable_progress_bar=False)
            return
        if self._has_teacher and self.config["arch"] is None:
            raise UserError(
                "distill= is for one network, of arch= or model=; a supernet is distilled by sampling=sandwich"
            )
        _ = self.distillation, self.score_name
        for name in ("task", "space", "sharing", "optimization", "schedule", "sampler"):
            getattr(self, name)
        self.task.check_space(self.space)
        try:
            self.cost(self.space.cheapest(self.prices))
        except CostError as error:
            raise UserError(f"no arch of space {self.space.name} can be priced: {error}") from error
        self._trainer([], "check", enable_progress_bar=False)

    # What is written down

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time spent inside to the stage's, without what inner stages take."""
        begin, before = time.perf_counter(), sum(self._seconds.values())
        try:
            yield
        finally:
            inner = sum(self._seconds.values()) - before
            self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - begin - inner

    def write_results(self, results: Mapping[str, Any]) -> None:
        """Write results.json, whose being there says that the run is finished; the main process alone does it."""
        if not is_main_process():
            return
        common = {
            "task": self.task.name,
            "seed": self.seed,
            "seconds": {stage: round(seconds, 1) for stage, seconds in self._seconds.items()},
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "command": self.folder.read_manifest()["command"],
        }
        write_atomically(self.folder.results, json.dumps(common | dict(results), indent=2) + "\n")
        self.wandb.summary(_flat(results))

    def draw(self) -> None:
        """Make all pictures of the run from its folder, and mirror them."""
        from shiftaddnas.cli.pictures import draw_run

        pictures = draw_run(self.folder, self.space, self.task.workload(), lambda: self.cost)
        for note in pictures.notes:
            self.console.print(f"note: {note}", soft_wrap=True, markup=False)
        self.wandb.log_pictures(pictures.paths)

    def score(self) -> float | None:
        """What a sweeper optimises: the test score of the network, or the winner, of a finished run."""
        if not is_main_process():
            return None
        results = json.loads(self.folder.results.read_text())
        test = results.get("winner", results).get("test", {})
        return test.get(self.task.metric)  # type: ignore[no-any-return]

    # Networks and their training

    def supernet_or_loaded(self) -> Supernet:
        """The supernet of ckpt=..., or a fresh one."""
        given = self.config["ckpt"]
        return self.supernet() if given is None else self.load_supernet(Path(given))

    def supernet(self) -> Supernet:
        with self._seeded("supernet"):
            return self.task.supernet(self.space, self.sharing)

    def load_supernet(self, path: Path) -> Supernet:
        """The supernet of a checkpoint, which must be of this task, space and sharing."""
        checkpoint = load_checkpoint(path)
        state = network_state(checkpoint, "supernet")
        if not state:
            raise UserError(f"checkpoint {path} holds no supernet; make one with train.py, without arch=")
        for key in NETWORK_KEYS:
            differs = difference(checkpoint.get("config", {}).get(key), self.config[key], key)
            if differs:
                raise UserError(f"checkpoint {path} was made with other settings: {differs}")
        supernet = self.supernet()
        supernet.load_weights(state, str(path))
        return supernet

    def standalone(self, arch: Arch) -> nn.Module:
        with self._seeded("subnet", arch.id):
            return self.task.standalone(self.space, arch)

    @contextmanager
    def _seeded(self, *names: str) -> Iterator[None]:
        with torch.random.fork_rng():
            torch.manual_seed(child_seed(self.seed, *names))
            yield

    def fit_supernet(self, supernet: Supernet, callbacks: Sequence[Callback] = ()) -> None:
        """Train a supernet to its end, from where an earlier process stopped."""
        self._fit(self._supernet_module(supernet), "supernet", self.folder.supernet, callbacks)

    def validate_supernet(self, supernet: Supernet) -> dict[str, float]:
        """The validation metrics of the largest arch, the cheapest and a random one."""
        trainer = self._trainer([], "supernet")
        trainer.validate(self._supernet_module(supernet), datamodule=self.task.datamodule(), verbose=False)
        return _numbers(trainer.callback_metrics, "val/")

    def _supernet_module(self, supernet: Supernet) -> SupernetModule:
        probes = {
            "largest": self.space.cheapest({term: -count for term, count in self.multiplications.items()}),
            "cheapest": self.space.cheapest(self.prices),
            "random": self.space.sample(child_generator(self.seed, "probe")),
        }
        return SupernetModule(supernet, self.task, self.optimization, self.sampler, self.schedule, probes, self.seed)

    def fit_subnet(
        self, network: nn.Module, stage: str, final: Path, *, max_epochs: int | None = None
    ) -> dict[str, float]:
        """Train a network on its own to its end, unless it was already, and test it; its test metrics."""
        module = SubnetModule(network, self.task, self.optimization, self.seed, self.distillation)
        module.start_average(self._average)
        overrides = {} if max_epochs is None else {"max_epochs": max_epochs}
        trainer = self._fit(module, stage, final, (), **overrides)
        trainer.test(module, datamodule=self.task.datamodule(), verbose=False)
        test = _numbers(trainer.callback_metrics, "test/")
        if is_main_process():
            network.to(trainer.strategy.root_device)  # Lightning has taken it away
            test |= self.task.final_scores(network, int(trainer.num_test_batches[0]))
        return test

    def retrained(self, arch: Arch, stage: str, final: Path) -> dict[str, float]:
        """Train the network of an arch from fresh weights, as `retrain` says; its test metrics.

        The same seed and arch give the same network as `train_command` does.
        """
        return self.fit_subnet(self.standalone(arch), stage, final, max_epochs=self.config["retrain"]["max_epochs"])

    def retrain_command(self) -> str:
        """The command that does for the winner what the search did."""
        trainer = self.config["trainer"] | {"max_epochs": self.config["retrain"]["max_epochs"]}
        settings = {**self.config, "trainer": trainer}
        return train_command(settings, HydraConfig.get().runtime.choices, str(self.folder.best_arch))

    @property
    def _network_keys(self) -> tuple[str, ...]:
        """The settings that say what network a checkpoint holds."""
        return NETWORK_KEYS if self.config.get("model") is None else ("task", "model")

    def _fit(
        self, module: pl.LightningModule, stage: str, final: Path, callbacks: Sequence[Callback], **overrides: Any
    ) -> pl.Trainer:
        resume = self.folder.resume / f"{stage.replace('/', '-')}.ckpt"
        keep = ResumeCheckpoint(resume, final, {key: self.config[key] for key in self._network_keys})
        trainer = self._trainer([keep, *callbacks], stage, **overrides)
        if final.is_file():  # an earlier process came this far
            module.load_state_dict(load_checkpoint(final)["state_dict"])
            return trainer
        rows = MetricsCsv(self.folder.metrics, stage=stage)
        rows.truncate(int(load_checkpoint(resume)["global_step"]) if resume.is_file() else 0)
        going_on = resume if resume.is_file() else None
        trainer.fit(module, datamodule=self.task.datamodule(), ckpt_path=going_on, weights_only=True)
        return trainer

    def _trainer(self, callbacks: Sequence[Callback], stage: str, **overrides: Any) -> pl.Trainer:
        configured = list(self._build("callbacks").values())
        bar = [TrainingProgress(self.console, stage)] if overrides.get("enable_progress_bar", True) else []
        loggers: list[Logger] = [MetricsCsv(self.folder.metrics, stage=stage)]
        if self.wandb.active:
            loggers.append(self.wandb.logger(stage))
        settings = {**self.config["trainer"], **overrides}
        trainer: pl.Trainer = build(
            settings,
            "trainer",
            logger=loggers,
            callbacks=[*bar, *configured, *callbacks],
            default_root_dir=self.folder.path,
        )
        return trainer


@contextmanager
def open_session(
    config: DictConfig, prepare: Callable[[Session], object] = Session.prepare
) -> Iterator[tuple[Session, State]]:
    """The session of a Hydra job, and whether its run is new, unfinished or finished.

    Every setting is checked before anything is begun; a run that fails these checks leaves nothing behind.

    Args:
        prepare: what checks the settings.
    """
    plain = plain_config(config)
    hydra = HydraConfig.get()
    folder = RunFolder(Path(hydra.runtime.output_dir))
    # A sweep ends one run and begins the next in this process, each with its own command.
    argv = [sys.argv[0], *config_options(), *hydra.overrides.task]
    quiet()
    wandb = WandbRun.off(folder.path)
    session = Session(plain, folder, Console(quiet=not is_main_process()), wandb)
    try:
        state = folder.open(plain, fresh=bool(plain["fresh"]), argv=argv)
        if state != "finished":
            prepare(session)
            session.wandb = _wandb(session, hydra)
        yield session, state
    except UserError:
        folder.discard_if_empty()
        raise
    except BaseException:
        session.wandb.finish(failed=True)
        raise
    else:
        session.wandb.finish()
    finally:
        folder.close()


def _wandb(session: Session, hydra: Any) -> WandbRun:
    in_sweep = hydra.mode == RunMode.MULTIRUN
    logger = dict(session.config["logger"])
    if in_sweep and logger.get("group") is None:
        logger["group"] = os.environ.get(SWEEP)
    return build(  # type: ignore[no-any-return]
        logger | {"_target_": "shiftaddnas.tracking.wandb_run.WandbRun"},
        "logger",
        folder=session.folder.path,
        run_id=session.folder.run_id,
        config=session.config,
    )


def quiet() -> None:
    """Let Lightning say what is wrong, not how it is."""
    for name in ("pytorch_lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # A profiler that was asked for prints its table as information.
    logging.getLogger("pytorch_lightning.profilers").setLevel(logging.INFO)
    for name in ("shiftaddnas", "hydra"):
        logging.getLogger(name).setLevel(logging.INFO)
    # Lightning's use of torch, not the user's.
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
    # A data module says how many workers it wants; the advice would come back with every loader.
    warnings.filterwarnings("ignore", ".*does not have many workers.*")


def is_main_process() -> bool:
    """Whether this process writes files and speaks, of the processes of a distributed run."""
    return process_rank() == 0


def difference(before: Any, now: Any, name: str) -> str | None:
    """The first setting in which two configs differ, in words; None where they are equal."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            differs = difference(before.get(key), now.get(key), f"{name}.{key}")
            if differs:
                return differs
        return None
    return None if before == now else f"{name} is {before} there and {now} here"


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted names."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _numbers(metrics: Mapping[str, Any], prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): float(value) for name, value in metrics.items() if name.startswith(prefix)}
