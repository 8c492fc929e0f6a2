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
