"""Networks of timm by name, fitted to a task's images; the searched networks of the paper are among them."""

from collections.abc import Mapping
from typing import Any

import timm
from torch import nn

import tasks.image_classification.searched  # noqa: F401  # registers its networks with timm
from shiftaddnas.errors import UserError
from tasks.image_classification.layers import ImageWorkload

GIVEN = ("num_classes", "in_chans")


def timm_model(name: str, settings: Mapping[str, Any], workload: ImageWorkload) -> nn.Module:
    """A network of timm with the task's channels and classes, untrained unless `pretrained` is set.

    Args:
        settings: further arguments of timm.create_model.

    Raises:
        UserError: timm has no such model, or the model refuses the settings.
    """
    if not timm.is_model(name):
        near = timm.list_models(f"*{name}*")[:3]
        hint = f"did you mean {', '.join(near)}?" if near else "timm.list_models() names them"
        raise UserError(f"model={name} is no model of timm; {hint}")
    for setting in GIVEN:
        if setting in settings:
            raise UserError(f"model.{setting}={settings[setting]} is not allowed: the task says it")
    try:
        return timm.create_model(name, num_classes=workload.num_classes, in_chans=workload.in_channels, **settings)
    except Exception as error:  # whatever a model says of its arguments
        reason = " ".join(str(error).split())
        raise UserError(
            f"model={name} cannot be built with {dict(settings)}: {type(error).__name__}: {reason}"
        ) from error


def pretrained_timm_model(name: str, settings: Mapping[str, Any], workload: ImageWorkload) -> nn.Module:
    """A network of timm with the weights that timm has for it, which must be for the task's channels and classes.

    Raises:
        UserError: as `timm_model`, or timm has no such weights, or they are for other images or classes.
    """
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
    return timm_model(name, {"pretrained": True, **settings}, workload)
