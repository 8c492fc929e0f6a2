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
    model: Any = None
    distill: Any = MISSING


@dataclass
class RetrainSettings:
    """How the winner and the baselines are trained on their own: as `trainer` says, but for so many epochs."""

    max_epochs: int | None = MISSING


@dataclass
class SearchSettings(CommonSettings):
    search: Any = MISSING
    score: str | None = None
    objective: str | None = None
    retrain: RetrainSettings = field(default_factory=RetrainSettings)


@dataclass
class ExportSettings:
    run: str | None = MISSING
    format: str = MISSING
    weights: str = MISSING
    output: str | None = MISSING


@dataclass
class PriceSettings:
    task: Any = MISSING
    space: Any = MISSING
    hardware: Any = MISSING
    arch: str | None = MISSING
    model: Any = MISSING
    input: Any = MISSING
    input_dtype: str = MISSING
    output: str | None = MISSING
    seed: int = MISSING


@dataclass
class DrawSettings:
    task: Any = MISSING
    space: Any = MISSING
    hardware: Any = MISSING
    run: str | None = MISSING
    arch: str | None = MISSING
    output: str = MISSING
    seed: int = MISSING


@dataclass
class LatencySettings:
    task: Any = MISSING
    space: Any = MISSING
    output: str = MISSING
    num_archs: int = MISSING
    law: str | None = MISSING
    batch_size: int = MISSING
    device: str = MISSING
    num_threads: int = MISSING
    seed: int = MISSING
    fresh: bool = MISSING
    protocol: Any = MISSING
    predictor: Any = MISSING


@dataclass
class RankSettings:
    task: Any = MISSING
    space: Any = MISSING
    optim: Any = MISSING
    trainer: Any = MISSING
    logger: Any = MISSING
    paths: Any = MISSING
    num_archs: int = MISSING
    law: str | None = MISSING
    archs_seed: int = MISSING
    supernets: Any = MISSING  # one name or a list of names
    quality: str = MISSING
    num_workers: int = MISSING
    seed: int = MISSING
    fresh: bool = MISSING
    statistics: Any = MISSING


@dataclass
class RankTableSettings:
    table: str = MISSING
    columns: list[str] | None = None
    within: str | None = None
    maximize: bool = MISSING
    output: str | None = None
    seed: int = MISSING
    statistics: Any = MISSING


@dataclass
class TranslateSettings:
    run: str | None = MISSING
    input: str | None = MISSING
    output: str | None = MISSING
    weights: str = MISSING
    device: str = MISSING
    block: int = MISSING


def register() -> None:
    store = ConfigStore.instance()
    store.store(name="train_schema", node=TrainSettings)
    store.store(name="search_schema", node=SearchSettings)
    store.store(name="latency_schema", node=LatencySettings)
    store.store(name="export_schema", node=ExportSettings)
    store.store(name="price_schema", node=PriceSettings)
    store.store(name="draw_schema", node=DrawSettings)
    store.store(name="rank_schema", node=RankSettings)
    store.store(name="rank_table_schema", node=RankTableSettings)
    store.store(name="translate_schema", node=TranslateSettings)
