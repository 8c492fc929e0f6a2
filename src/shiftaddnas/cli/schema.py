"""The top level of both configs, typed, so that Hydra refuses a misspelt or mistyped setting there at composition."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


@dataclass
class CommonSettings:
    """What training and searching share. The groups' contents are checked by what they configure (build.py)."""

    task: Any = MISSING
    space: Any = MISSING
    sharing: Any = MISSING
    sampling: Any = MISSING
    schedule: Any = MISSING
    optim: Any = MISSING
    trainer: Any = MISSING
    hardware: Any = MISSING
    callbacks: dict[str, Any] = field(default_factory=dict)
    logger: Any = MISSING
    paths: Any = MISSING
    seed: int = MISSING
    fresh: bool = MISSING
    ckpt: str | None = None


@dataclass
class TrainSettings(CommonSettings):
    arch: str | None = None


@dataclass
class RetrainSettings:
    """How the winner and the baselines are trained on their own: as `trainer` says, but for so many epochs."""

    max_epochs: int = MISSING


@dataclass
class SearchSettings(CommonSettings):
    search: Any = MISSING
    retrain: RetrainSettings = field(default_factory=RetrainSettings)


def register() -> None:
    store = ConfigStore.instance()
    store.store(name="train_schema", node=TrainSettings)
    store.store(name="search_schema", node=SearchSettings)
