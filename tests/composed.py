"""The shipped configs as the command line composes and builds them."""

from typing import Any

import hydra
from omegaconf import DictConfig

from shiftaddnas.cli.app import config_folder, plain_config
from shiftaddnas.cli.build import build


def compose(config_name: str, *overrides: str) -> DictConfig:
    with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
        return hydra.compose(config_name, list(overrides))


def built(group: str, *overrides: str, **given: Any) -> Any:
    """The object of one config group of search.yaml."""
    return build(plain_config(compose("search", *overrides))[group], group, **given)
