"""`train.py model=...`: a network of the task's model library by its name, its weights and its costs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from shiftaddnas.engine import Task
from shiftaddnas.engine.checkpoint import check_symbols, load_checkpoint, network_state, state_difference
from shiftaddnas.engine.subnet_module import AVERAGE, NETWORK
from shiftaddnas.errors import UserError
from shiftaddnas.hardware import HardwareCost
from shiftaddnas.spaces.fixed import FixedSpace
from shiftaddnas.tracing import trace_layers


def name_and_settings(model: Any, setting: str = "model") -> tuple[str, dict[str, Any]]:
    """The two parts of `model=NAME` or `model={name: NAME, setting: value}`, or of another setting of that form."""
    if isinstance(model, str):
        return model, {}
    if isinstance(model, Mapping) and isinstance(model.get("name"), str):
        return model["name"], {key: value for key, value in model.items() if key != "name"}
    raise UserError(f"{setting}={model} is not allowed; give a name, or {{name: NAME, setting: value}}")


def shown(model: Any) -> str:
    """A network as tables name it: its name, and what was set of it."""
    name, settings = name_and_settings(model)
    return "  ".join([name, *(f"{key}={value}" for key, value in settings.items())])


def load_weights(network: nn.Module, path: Path, task: Task) -> Mapping[str, Tensor]:
    """Give a network the weights of a checkpoint of its training, or of a file that others wrote for it.

    Returns their moving average, if the checkpoint has one beside them.

    Raises:
        UserError: the file is missing or damaged, or is of another network.
    """
    if not path.is_file():
        raise UserError(f"checkpoint {path} does not exist")
    if task.load_foreign_weights(network, path):
        return {}
    checkpoint = load_checkpoint(path)
    check_symbols(checkpoint, task, path)
    load_state(network, network_state(checkpoint, NETWORK), path)
    return network_state(checkpoint, AVERAGE)


def load_state(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Give a network weights of a checkpoint; `UserError` if they are none, or of another network."""
    if not state:
        raise UserError(f"checkpoint {path} holds no single network; make one with train.py model=NAME")
    if difference := state_difference(network, state):
        raise UserError(f"checkpoint {path} holds another network than is asked for: {difference}")
    network.load_state_dict(state)


def traced_costs(
    name: str, network: nn.Module, inputs: tuple[Tensor, ...], hardware: HardwareCost
) -> tuple[dict[str, float], tuple[str, ...]]:
    """What a network costs, and what the costs leave out, in words.

    Raises:
        UserError: the network does not take the task's inputs.
        CostError: the hardware fails on a layer.
    """
    try:
        trace = trace_layers(network, *inputs)
    except UserError:
        raise
    except Exception as error:  # whatever a network says of an input that it cannot take
        shapes = ", ".join(str(list(one.shape)) for one in inputs)
        reason = " ".join(str(error).split())
        raise UserError(f"model={name} fails on inputs of {shapes}: {type(error).__name__}: {reason}") from error
    space = FixedSpace(name, trace.layers)
    return dict(hardware.bind(space, None)(space.only_arch).values), trace.notes
