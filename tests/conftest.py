"""What several test files need: the shipped spaces as objects, composed as the command line does it."""

from typing import Any

import hydra
import pytest
from omegaconf import DictConfig

from shiftaddnas.cli.app import config_folder, plain_config
from shiftaddnas.cli.build import build
from tasks.image_classification import HybridSpace


def compose(config_name: str, *overrides: str) -> DictConfig:
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        return hydra.compose(config_name, list(overrides))


def built(group: str, *overrides: str, **given: Any) -> Any:
    """The object of one config group of search.yaml."""
    return build(plain_config(compose("search", *overrides))[group], group, **given)


@pytest.fixture(scope="session")
def digits_space() -> HybridSpace:
    space: HybridSpace = built("space", "space=digits")
    return space


@pytest.fixture(scope="session")
def hytra_space() -> HybridSpace:
    space: HybridSpace = built("space", "space=hytra_hybrid")
    return space
