"""`shiftaddnas price`: what a network costs on a hardware, layer by layer, or what all archs of a space cost."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from shiftaddnas.cli.app import plain_config, start
from shiftaddnas.cli.output import output_folder
from shiftaddnas.errors import UserError

if TYPE_CHECKING:  # torch and Lightning are imported when a job runs, so that --help answers at once
    from rich.console import Console
    from torch import Tensor, nn

    from shiftaddnas.hardware import HardwareCost
    from shiftaddnas.report.cost_breakdown import Breakdown
    from shiftaddnas.spaces import Arch, Space


def main() -> None:
    start("price", run)


def run(config: DictConfig) -> float | None:
    """Print one pricing, and write it where there is an output; the cost of a network, for sweepers that minimise it.

    Raises:
        UserError: a setting is wrong, the network does not take the input, or the hardware fails on it.
    """
    from shiftaddnas.cli.build import build
    from shiftaddnas.hardware import CostError

    settings = plain_config(config)
    output = None if settings["output"] is None else output_folder(settings["output"])
    if settings["arch"] is not None and settings["model"] is not None:
        raise UserError("arch= and model= are both given; price one of them at a time")
    if (settings["model"] is None) != (settings["input"] is None):
        given, missing = ("input", "model") if settings["model"] is None else ("model", "input")
        raise UserError(
            f"{given}= is given without {missing}=, as in model=torchvision.models.resnet18 input=[1,3,224,224]"
        )
    hardware: HardwareCost = build(settings["hardware"], "hardware")
    try:
        if settings["model"] is not None:
            return _print_network(_model(settings, hardware), output)
        if settings["arch"] is not None:
            return _print_network(_arch(settings, hardware), output)
        _print_space(settings, hardware, output)
        return None
    except CostError as error:
        raise UserError(" ".join(str(error).split())) from error


def _arch(settings: Mapping[str, Any], hardware: "HardwareCost") -> "Breakdown":
    from shiftaddnas.cli.archs import find_arch
    from shiftaddnas.cli.workload import space_and_workload
    from shiftaddnas.report.cost_breakdown import Breakdown

    space, workload = space_and_workload(settings)
    arch = find_arch(settings["arch"], space)
    for text in space.notations(arch):
        _console().print(text, soft_wrap=True, markup=False, highlight=False)
    title = f"{space.describe(arch)} ({arch.id} of space {space.name}) on {hardware.name}"
    cost = hardware.bind(space, workload).breakdown(arch)
    return Breakdown(title, hardware.metrics, cost, _arch_paths(space, arch, workload))


def _arch_paths(space: "Space[Any, Any]", arch: "Arch", workload: Any) -> tuple[tuple[str, str], ...]:
    """Where in the arch each layer is: the decision that adds it, and the layer's own name."""
    return tuple(
        (f"{decision.name}={_written(choice)}", layer.name)
        for state, decision, choice in space.walk(arch)
        for term in space.decision_terms(state, choice)
        for layer in space.layers(term, workload)
    )


def _written(choice: Any) -> str:
    return f"[{','.join(map(str, choice))}]" if isinstance(choice, tuple) else str(choice)


def _model(settings: Mapping[str, Any], hardware: "HardwareCost") -> "Breakdown":
    import torch

    from shiftaddnas.report.cost_breakdown import Breakdown
    from shiftaddnas.spaces.fixed import FixedSpace
    from shiftaddnas.tracing import trace_layers
    from shiftaddnas.tracking import child_seed

    torch.manual_seed(child_seed(settings["seed"], "price"))
    name, network = _network(settings["model"])
    inputs = _inputs(settings["input"], settings["input_dtype"])
    try:
        trace = trace_layers(network, *inputs)
    except UserError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(f"model={name} fails on input={settings['input']}: {type(error).__name__}: {reason}") from error
    if not trace.layers:
        raise UserError(f"model={name} has no layers to price: {'; '.join(trace.notes) or 'it multiplies nothing'}")
    for note in trace.notes:
        print(f"note: {note}", file=sys.stderr)
    space = FixedSpace(name, trace.layers)
    cost = hardware.bind(space, None).breakdown(space.only_arch)
    paths = tuple(tuple(layer.name.split(".")) for layer in trace.layers)
    return Breakdown(f"{name} on {hardware.name}", hardware.metrics, cost, paths)


def _network(model: Any) -> tuple[str, "nn.Module"]:
    """The network, and what to call it."""
    from torch import nn

    from shiftaddnas.cli.build import build

    node = {"_target_": model} if isinstance(model, str) else model
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise UserError(f"model={model} is not allowed; give package.function, or {{_target_: package.function, ...}}")
    try:
        network = build(node, "model")
    except UserError as error:
        if node is model:
            raise
        raise UserError(f"{error} (with arguments: model={{_target_: {model}, argument: value}})") from error
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(f"model={model} cannot be built: {type(error).__name__}: {reason}") from error
    if not isinstance(network, nn.Module):
        raise UserError(f"model={model} gives a {type(network).__name__}, not a torch.nn.Module")
    return str(node["_target_"]).rpartition(".")[2], network


def _inputs(shapes: Any, dtype: str) -> "list[Tensor]":
    import torch

    listed = shapes if isinstance(shapes, list) and shapes and isinstance(shapes[0], list) else [shapes]
    for shape in listed:
        if not isinstance(shape, list) or not all(isinstance(size, int) and size > 0 for size in shape):
            raise UserError(f"input={shapes} is not allowed; give a shape such as [1,3,224,224], or a list of shapes")
    if dtype == "float32":
        return [torch.randn(shape) for shape in listed]
    if dtype == "int64":
        return [torch.zeros(shape, dtype=torch.int64) for shape in listed]
    raise UserError(f"input_dtype={dtype} is unknown; it is float32 or int64")


def _print_network(breakdown: "Breakdown", output: Path | None) -> float:
    from shiftaddnas.report.cost_breakdown import print_breakdown, write_csv
    from shiftaddnas.report.cost_figures import write_breakdown_figure

    print_breakdown(breakdown, _console())
    if output is not None and breakdown.cost.layers:
        write_breakdown_figure(output / "layers.png", breakdown)
        write_csv(output / "layers.csv", breakdown)
        _console().print(f"written to {output}", soft_wrap=True, markup=False)
    return breakdown.cost.values[breakdown.objective]


def _print_space(settings: Mapping[str, Any], hardware: "HardwareCost", output: Path | None) -> None:
    from shiftaddnas.cli.workload import space_and_workload
    from shiftaddnas.report.cost_figures import write_distribution_figure
    from shiftaddnas.report.space_costs import SpaceCosts, print_space, write_space_csv

    space, workload = space_and_workload(settings)
    bound = hardware.bind(space, workload)
    objective = hardware.metrics[0].name
    prices = bound.by_term(objective)
    archs = {}
    if prices is not None:
        opposite = {term: -price for term, price in prices.items()}
        for what, arch in (("cheapest", space.cheapest(prices)), ("dearest", space.cheapest(opposite))):
            archs[f"{what}\n{space.describe(arch)}"] = bound(arch).values
    costs = SpaceCosts(
        f"space {space.name}: {space.size():,} archs on {hardware.name}",
        hardware.metrics,
        bound.extremes(),
        archs,
        bound.distribution(objective),
    )
    print_space(costs, _console())
    if output is not None:
        write_space_csv(output / "space.csv", costs)
        if costs.distribution is not None:
            write_distribution_figure(output / "space.png", costs.title, objective, costs.distribution)
        _console().print(f"written to {output}", soft_wrap=True, markup=False)


def _console() -> "Console":
    """A console as wide as the terminal; where the output goes elsewhere, wide enough for all that there is."""
    from rich.console import Console

    return Console() if sys.stdout.isatty() else Console(width=1000)
