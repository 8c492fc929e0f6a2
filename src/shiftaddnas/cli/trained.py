"""A trained network from the run folder, or the checkpoint, that a training left."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from shiftaddnas.cli.build import build
from shiftaddnas.cli.model import load_state, name_and_settings, shown
from shiftaddnas.engine import Task
from shiftaddnas.engine.checkpoint import load_checkpoint, network_state
from shiftaddnas.engine.subnet_module import AVERAGE, NETWORK
from shiftaddnas.errors import UserError
from shiftaddnas.spaces import read_choices
from shiftaddnas.tracking.trained import trained_checkpoint

WEIGHTS = {"raw": NETWORK, "ema": AVERAGE}
"""Which weights of a training there are, and where its checkpoint has them."""


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with trained weights, in evaluation mode, and the task it was trained for."""

    network: nn.Module
    task: Task
    label: str
    checkpoint: Path


def load_trained(path: Path, weights: str = "raw") -> TrainedNetwork:
    """The network of a run folder or checkpoint; that of an arch has its arch.yaml beside its checkpoint.

    Args:
        weights: as trained, or their moving average: a key of `WEIGHTS`.

    Raises:
        UserError: there is none, and what to do about it.
    """
    if weights not in WEIGHTS:
        raise UserError(f"weights={weights} is unknown; they are {', '.join(WEIGHTS)}")
    checkpoint = trained_checkpoint(path)
    content = load_checkpoint(checkpoint)
    config = content.get("config", {})
    if not network_state(content, NETWORK) or "task" not in config:
        raise UserError(f"checkpoint {checkpoint} holds no single network; give a run folder, or its subnet.ckpt")
    state = network_state(content, WEIGHTS[weights])
    if not state:
        raise UserError(f"checkpoint {checkpoint} has no {weights} weights; they come from optim.ema_decay=0.999")
    task: Task = build(config["task"], "task")
    task.use_symbols(content.get("symbols", {}))
    network, label = _of_model(config, task) if "model" in config else _of_arch(config, task, checkpoint)
    load_state(network, state, checkpoint)
    return TrainedNetwork(network.eval(), task, label, checkpoint)


def _of_model(config: dict[str, Any], task: Task) -> tuple[nn.Module, str]:
    name, settings = name_and_settings(config["model"])
    settings.pop("pretrained", None)  # the checkpoint's weights take their place
    return task.model(name, settings)[0], shown(config["model"])


def _of_arch(config: dict[str, Any], task: Task, checkpoint: Path) -> tuple[nn.Module, str]:
    file = checkpoint.with_name("arch.yaml")
    if not file.is_file():
        raise UserError(f"checkpoint {checkpoint} has no arch.yaml beside it, which says what network it holds")
    space = build(config["space"], "space")
    arch = space.arch(read_choices(file))
    return task.standalone(space, arch), f"{arch.id}  {space.describe(arch)}"
