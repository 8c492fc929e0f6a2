"""`train.py model=...`: a network of the task's model library by its name, its weights and its costs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from shiftaddnas.engine.checkpoint import load_checkpoint, network_state
from shiftaddnas.errors import UserError
from shiftaddnas.hardware import HardwareCost
from shiftaddnas.spaces.fixed import FixedSpace
from shiftaddnas.tracing import trace_layers


def name_and_settings(model: Any) -> tuple[str, dict[str, Any]]:
    """The two parts of `model=NAME` or `model={name: NAME, setting: value}`."""
    if isinstance(model, str):
        return model, {}
    if isinstance(model, Mapping) and isinstance(model.get("name"), str):
        return model["name"], {key: value for key, value in model.items() if key != "name"}
    raise UserError(f"model={model} is not allowed; give a name, or {{name: NAME, setting: value}}")


def load_weights(network: nn.Module, path: Path) -> None:
    """The weights of a checkpoint that a training of the same network wrote.

    Raises:
        UserError: the checkpoint is of another network.
    """
    state = network_state(load_checkpoint(path), "network")
    if not state:
        raise UserError(f"checkpoint {path} holds no single network; make one with train.py model=NAME")
    try:
        network.load_state_dict(state)
    except RuntimeError:
        raise UserError(f"checkpoint {path} holds another network than model= names") from None


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
