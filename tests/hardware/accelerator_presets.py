"""The shipped accelerators, as the command line builds them, with settings changed."""

from functools import cache

from omegaconf import DictConfig, OmegaConf

from composed import compose
from shiftaddnas.cli.app import plain_config
from shiftaddnas.cli.build import build
from shiftaddnas.hardware import AcceleratorModel


def accelerator(preset: str, *overrides: str) -> AcceleratorModel:
    """A preset with overrides such as "array.num_pes=42"."""
    config = plain_config(OmegaConf.merge(_composed(preset), OmegaConf.from_dotlist(list(overrides))))
    model: AcceleratorModel = build(config, "hardware")
    return model


@cache
def _composed(preset: str) -> DictConfig:
    config: DictConfig = compose("search", f"hardware={preset}").hardware
    OmegaConf.set_struct(config, False)  # unknown keys are for the model to refuse
    return config
