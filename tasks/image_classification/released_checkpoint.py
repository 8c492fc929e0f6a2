"""Weight files of others: those that the ShiftAddNAS authors released for the networks of searched.py, and timm's."""

import argparse
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from shiftaddnas.engine.checkpoint import state_difference
from shiftaddnas.errors import UserError
from tasks.image_classification.searched import SearchedNet

# In order; where each pattern is found it is replaced. The released files name a layer after its place in a Sequential.
_RENAMED = (
    (r"^conv1\.", "stem.0."),
    (r"^bn1\.", "stem.1."),
    (r"^fc\.", "head."),
    (r"^dist_head\.", "head_distilled."),
    (r"^layer([1-4])\.", lambda match: f"stages.{int(match[1]) - 1}."),
    (r"\.downsample\.", ".shortcut."),
    (r"\.conv2\.", ".mix."),
    (r"\.proj\.0\.", ".conv1."),
    (r"\.proj\.1\.conv\.", ".peg."),
    (r"\.peg\.conv\.", ".peg."),
    (r"\.proj\.2\.", ".bn1."),
    (r"\.net\.1\.to_qkv\.", ".mix.qkv."),
    (r"\.net\.2\.", ".bn2."),
    (r"\.net\.4\.", ".conv3."),
    (r"\.net\.5\.", ".bn3."),
    (r"\.adder$", ".weight"),
)


def converted(released: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a released state dict under the names that `SearchedNet` gives them."""
    state = {}
    for key, tensor in released.items():
        name = key.removeprefix("module.")
        for pattern, replacement in _RENAMED:
            name = re.sub(pattern, replacement, name)
        state[name] = tensor
    return state


def load_released_checkpoint(network: SearchedNet, path: Path, *, ema: bool = False) -> None:
    """Give a network the weights of a released file, or the moving averages that the file keeps beside them.

    The file is read as data: it may hold tensors, numbers, text and the command line's namespace, nothing else.

    Raises:
        UserError: the file is missing or damaged, or is of another network.
    """
    content = _content(path)
    key = "model_ema" if ema else "model"
    if not isinstance(content, Mapping) or not isinstance(content.get(key), Mapping):
        held = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise UserError(f"{path} has no {key}: it holds {held}")
    _load(network, converted(content[key]), path)


def load_foreign_weights(network: nn.Module, path: Path) -> bool:
    """Give a network the weights of a file that this framework did not write; False if it did.

    Files of DeiT, timm and torchvision have a network's tensors under "model" or "state_dict", or nothing else. Those
    that the authors released are converted.

    Raises:
        UserError: the file is missing or damaged, or is of another network.
    """
    content = _content(path)
    if not isinstance(content, Mapping):
        raise UserError(f"{path} holds no weights but {type(content).__name__}")
    if "pytorch-lightning_version" in content:
        return False
    state = content.get("model", content.get("state_dict", content))
    if not isinstance(state, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise UserError(f"{path} holds no weights but {', '.join(map(str, content))}")
    if isinstance(network, SearchedNet):
        state = converted(state)
    _load(network, {name.removeprefix("module."): tensor for name, tensor in state.items()}, path)
    return True


def _content(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"there is no file {path}; download it as the README of the official repository says")
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UserError(f"{path} holds more than weights, numbers and text, or is damaged: it was not loaded") from None
    except Exception as error:  # whatever torch raises for what it did not write
        raise UserError(f"{path} is truncated or no weight file of torch") from error


def _load(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    if difference := state_difference(network, state):
        raise UserError(f"{path} is of another network: {difference}")
    network.load_state_dict(state)
