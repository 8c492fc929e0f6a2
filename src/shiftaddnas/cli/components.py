"""What the settings describe: task, space, sharing, hardware, networks and the rest, each built once."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import torch
from rich.console import Console
from torch import nn

from shiftaddnas.cli.build import build
from shiftaddnas.cli.model import load_weights, name_and_settings, traced_costs
from shiftaddnas.cli.teacher import distillation
from shiftaddnas.engine import Distillation, OperatorSchedule, Optimization, PathSampler, SandwichPaths, Task
from shiftaddnas.engine.checkpoint import check_symbols, load_checkpoint, network_state
from shiftaddnas.errors import UserError
from shiftaddnas.hardware import Arithmetic, BoundCost, CostError, HardwareCost
from shiftaddnas.sharing import WeightSharing
from shiftaddnas.spaces import Arch, Space, Term
from shiftaddnas.supernets import Supernet
from shiftaddnas.tracking import child_seed

NETWORK_KEYS = ("task", "space", "sharing")
"""The settings that say what a supernet is."""


@dataclass(frozen=True)
class _Model:
    network: nn.Module
    inputs: tuple[torch.Tensor, ...]
    average: Mapping[str, torch.Tensor]


@dataclass
class Components:
    """The objects of one job. `config` is the resolved config as plain containers."""

    config: Mapping[str, Any]
    console: Console

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
        """The cost that pictures show the score over: the one that is set, the first that the search minimises, or the
        first that the hardware names.
        """
        names = [metric.name for metric in self.hardware.metrics]
        objective: str | None = self.config.get("objective")
        if objective is not None and objective not in names:
            raise UserError(f"objective={objective} is no metric of the hardware; its metrics: {', '.join(names)}")
        return objective or next(iter(self._searched_costs), names[0])

    @property
    def objectives(self) -> tuple[str, ...]:
        """The costs of the front, beside the score: `objective`, then what else the search minimises."""
        return tuple(dict.fromkeys((self.objective, *self._searched_costs)))

    @property
    def _searched_costs(self) -> list[str]:
        """What the search says that it minimises, as far as the hardware has it; the searcher refuses the rest."""
        names = [metric.name for metric in self.hardware.metrics]
        return [name for name in self.config.get("search", {}).get("objectives") or () if name in names]

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
        learns = self.has_teacher and self.config["trainer"]["max_epochs"] != 0
        return distillation(self.config["distill"], self.task) if learns else None

    @property
    def has_teacher(self) -> bool:
        """Whether a single network would learn from another one."""
        # An experiment may name one even where distill=none is said beside it.
        return "_target_" in (self.config.get("distill") or {})

    @property
    def model(self) -> nn.Module:
        """The network that model= names, with the weights of ckpt=, or fresh ones."""
        return self._model.network

    @property
    def model_average(self) -> Mapping[str, torch.Tensor]:
        """The moving average of the model's weights, where ckpt= has one beside them."""
        return self._model.average

    @cached_property
    def _model(self) -> "_Model":
        name, settings = name_and_settings(self.config["model"])
        with self._seeded("model", name):
            network, inputs = self.task.model(name, settings)
        given = self.config["ckpt"]
        average = {} if given is None else load_weights(network, Path(given), self.task)
        return _Model(network, inputs, average)

    @cached_property
    def model_costs(self) -> dict[str, float]:
        """What it costs; nothing, with a note, where the hardware fails on it."""
        name, _ = name_and_settings(self.config["model"])
        try:
            costs, notes = traced_costs(name, self._model.network, self._model.inputs, self.hardware)
        except CostError as error:
            costs, notes = {}, (str(error),)
        for note in notes:
            self.console.print(f"note: {note}")
        return costs

    def supernet_or_loaded(self) -> Supernet:
        """The supernet of ckpt=..., or a fresh one."""
        given = self.config["ckpt"]
        return self.supernet() if given is None else self.load_supernet(Path(given))

    def supernet(self) -> Supernet:
        with self._seeded("supernet"):
            return self.task.supernet(self.space, self.sharing)

    def load_supernet(self, path: Path) -> Supernet:
        """The supernet of a checkpoint, which must be of this task, space and sharing, as far as they matter for it."""
        checkpoint = load_checkpoint(path)
        state = network_state(checkpoint, "supernet")
        if not state:
            raise UserError(f"checkpoint {path} holds no supernet; make one with train.py, without arch=")
        free = self.task.free_settings()
        for key in NETWORK_KEYS:
            differs = difference(checkpoint.get("config", {}).get(key), self.config[key], key, free)
            if differs:
                raise UserError(f"checkpoint {path} was made with other settings: {differs}")
        check_symbols(checkpoint, self.task, path)
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


def difference(before: Any, now: Any, name: str, free: Collection[str] = ()) -> str | None:
    """The first setting in which two configs differ, in words; None where all but the free ones are equal."""
    if name in free:
        return None
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in sorted({*before, *now}):
            differs = difference(before.get(key), now.get(key), f"{name}.{key}", free)
            if differs:
                return differs
        return None
    return None if before == now else f"{name} is {before} there and {now} here"
