"""Networks of timm by name, fitted to a task's images; the searched networks of the paper are among them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor, nn

import tasks.image_classification.searched  # noqa: F401  # registers its networks with timm
from shiftaddnas.errors import UserError
from tasks.image_classification.data.transforms import Normalization
from tasks.image_classification.layers import ImageWorkload

GIVEN = ("num_classes", "in_chans")


def timm_model(name: str, settings: Mapping[str, Any], workload: ImageWorkload) -> nn.Module:
    """A network of timm with the task's channels and classes, untrained unless `pretrained` is set.

    Args:
        settings: further arguments of timm.create_model.

    Raises:
        UserError: timm has no such model, the model refuses the settings, or with them it does not classify.
    """
    if not timm.is_model(name):
        near = timm.list_models(f"*{name}*")[:3]
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() names them"
        raise UserError(f"model={name} is no model of timm; {hint}")
    for setting in GIVEN:
        if setting in settings:
            raise UserError(f"model.{setting}={settings[setting]} is not allowed: the task says it")
    try:
        network = timm.create_model(name, num_classes=workload.num_classes, in_chans=workload.in_channels, **settings)
    except Exception as error:  # whatever a model says of its arguments
        reason = " ".join(str(error).split())
        raise UserError(
            f"model={name} cannot be built with {dict(settings)}: {type(error).__name__}: {reason}"
        ) from error
    _check_output(network, name, settings, workload)
    return network


@torch.no_grad()
def _check_output(network: nn.Module, name: str, settings: Mapping[str, Any], workload: ImageWorkload) -> None:
    shape = (1, workload.in_channels, workload.image_size, workload.image_size)
    try:
        output = network.eval()(torch.zeros(shape))
    except Exception as error:  # whatever a model says of images that it cannot take
        reason = " ".join(str(error).split())
        raise UserError(f"model={name} fails on inputs of {list(shape)}: {type(error).__name__}: {reason}") from error
    network.train()
    if not isinstance(output, Tensor) or output.shape != (1, workload.num_classes):
        raise UserError(
            f"model={name} with {dict(settings)} does not give {workload.num_classes} logits an image; leave out what "
            "takes its classifier away"
        )


def check_pretrained(name: str, workload: ImageWorkload) -> None:
    """Raise a UserError unless timm has weights of a network, for the task's channels and classes."""
    if not timm.is_model_pretrained(name):
        raise UserError(
            f"timm has no trained weights of {name}, and there is no such run folder; give a file of weights, or a "
            "network trained on the task"
        )
    trained_for: Any = timm.get_pretrained_cfg(name)
    num_classes, channels = trained_for.num_classes, trained_for.input_size[0]
    if (num_classes, channels) != (workload.num_classes, workload.in_channels):
        raise UserError(
            f"timm's weights of {name} are for {num_classes} classes and {channels} channels, the task has "
            f"{workload.num_classes} and {workload.in_channels}; give a network trained on the task"
        )


def other_normalization(name: str, normalization: Normalization | None) -> str | None:
    """Why timm's weights of a network do not fit images normalised like this, in words; None where they do.

    Args:
        normalization: None: as computed from the task's images.
    """
    trained_for: Any = timm.get_pretrained_cfg(name)
    theirs = [*trained_for.mean, *trained_for.std]
    ours = None if normalization is None else [*normalization.mean, *normalization.std]
    if ours is not None and len(ours) == len(theirs) and np.allclose(ours, theirs, atol=0.002):
        return None
    mean, std = list(trained_for.mean), list(trained_for.std)
    return (
        f"timm's weights of {name} are for images normalised otherwise than the task's; set "
        f'task.data.normalization="{{mean: {mean}, std: {std}}}"'
    )
