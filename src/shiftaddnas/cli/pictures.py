"""All pictures of a run, made from what its folder holds: what training and searching end with, and `draw` repeats."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from shiftaddnas.cli.build import build
from shiftaddnas.cli.trained import load_trained
from shiftaddnas.engine import Task
from shiftaddnas.engine.checkpoint import load_checkpoint, network_state
from shiftaddnas.engine.kernels import read_kernels
from shiftaddnas.errors import UserError
from shiftaddnas.hardware import BoundCost, CostError
from shiftaddnas.report import write_report
from shiftaddnas.report.arch_blocks import plan
from shiftaddnas.report.arch_figure import write_arch_figure
from shiftaddnas.report.numbers import cost_title, cost_value
from shiftaddnas.report.training_curves import read_stages, write_training_figure
from shiftaddnas.report.weight_figures import write_layer_figure, write_operator_figure
from shiftaddnas.report.weights import by_layer, by_operator
from shiftaddnas.spaces import Arch, Space, read_choices
from shiftaddnas.tracking import RunFolder


@dataclass
class Pictures:
    """The PNG files that were written, and what was left out and why, in words."""

    paths: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def draw_run(folder: RunFolder, space: Space[Any, Any], workload: Any, bound: Callable[[], BoundCost]) -> Pictures:
    """Write the pictures of a run into its `figures` and, of a finished search, its page: whatever there is data for.

    Args:
        bound: the run's hardware, bound to its space; asked for where there is an arch to draw.
    """
    pictures = Pictures()
    stages = read_stages(folder.metrics)
    if stages:
        pictures.paths.append(folder.figures / "training.png")
        write_training_figure(pictures.paths[-1], stages)
    arch_file = next((file for file in (folder.best_arch, folder.arch) if file.is_file()), None)
    if arch_file is not None:
        try:
            draw_arch(folder.figures / "arch.png", space, space.arch(read_choices(arch_file)), workload, bound())
            pictures.paths.append(folder.figures / "arch.png")
        except (CostError, UserError) as error:
            pictures.notes.append(f"the arch is not drawn: {error}")
    for name, title, network in _networks(folder):
        try:
            pictures.paths += draw_weights(folder.figures, name, title, network())
        except UserError as error:
            pictures.notes.append(f"the weights of the {name} are not drawn: {error}")
    if folder.search_log.exists() and folder.results.exists():
        pictures.paths += write_report(folder)
    return pictures


def draw_arch(path: Path, space: Space[Any, Any], arch: Arch, workload: Any, cost: BoundCost) -> None:
    """Draw one arch as PNG and SVG.

    Raises:
        CostError: the hardware fails on it.
    """
    drawn = plan(space, arch, workload, cost)
    total = cost(arch).values.get(drawn.metric)
    unit = cost_title(drawn.metric)[1]
    price = "" if total is None else f": {cost_value(drawn.metric, total)} {unit}".rstrip()
    title = [f"{space.describe(arch)}  ({arch.id})", *space.notations(arch), f"space {space.name}, {cost.name}{price}"]
    write_arch_figure(path, "\n".join(title), drawn)


def draw_weights(folder: Path, name: str, title: str, network: nn.Module) -> list[Path]:
    """Draw how a network's weights are distributed, by operator and by layer; nothing if no operator is known."""
    kernels = list(read_kernels(network))
    operators, layers = by_operator(kernels), by_layer(kernels)
    if not operators:
        return []
    paths = [folder / f"weights_{name}.png", folder / f"weights_{name}_layers.png"]
    write_operator_figure(paths[0], title, operators)
    write_layer_figure(paths[1], f"{title}, by layer", layers)
    return paths


def _networks(folder: RunFolder) -> Iterator[tuple[str, str, Callable[[], nn.Module]]]:
    """The networks that the folder holds weights of: a name for files, a title, and what loads one."""
    if folder.supernet.is_file():
        yield "supernet", "Weights of the supernet, as its operators get them", partial(_supernet, folder.supernet)
    for name, path in (("winner", folder.best_subnet), ("subnet", folder.subnet)):
        if path.is_file():
            yield name, f"Weights of the {name}, trained on its own", partial(_trained, path)


def _trained(path: Path) -> nn.Module:
    with torch.random.fork_rng():
        return load_trained(path).network


def _supernet(path: Path) -> nn.Module:
    checkpoint = load_checkpoint(path)
    config = checkpoint.get("config", {})
    if not {"task", "space", "sharing"} <= set(config):
        raise UserError(f"checkpoint {path} does not say which supernet it holds")
    task: Task = build(config["task"], "task")
    with torch.random.fork_rng():
        supernet = task.supernet(build(config["space"], "space"), build(config["sharing"], "sharing"))
    supernet.load_weights(network_state(checkpoint, "supernet"), str(path))
    return supernet
