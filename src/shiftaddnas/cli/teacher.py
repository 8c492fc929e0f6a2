"""`train.py distill=...`: the teacher, by name or from a run of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from shiftaddnas.cli.build import build
from shiftaddnas.cli.model import load_weights, name_and_settings
from shiftaddnas.cli.trained import load_trained
from shiftaddnas.engine import Distillation, Task
from shiftaddnas.errors import UserError


def distillation(settings: Mapping[str, Any], task: Task) -> Distillation:
    """What the settings of the group distill describe.

    Raises:
        UserError: there is no such teacher, or it has no weights for the task.
    """
    rest = {key: value for key, value in settings.items() if key not in ("teacher", "ckpt")}
    teacher = _teacher(settings["teacher"], settings["ckpt"], task)
    return build(rest, "distill", teacher=teacher)  # type: ignore[no-any-return]


def _teacher(teacher: Any, ckpt: str | None, task: Task) -> nn.Module:
    if teacher is None:
        raise UserError("distill.teacher is missing; give a network's name, such as regnety_160, or a run folder")
    if isinstance(teacher, str) and Path(teacher).exists():
        if ckpt is not None:
            raise UserError(
                f"distill.ckpt={ckpt} is for a teacher by name; distill.teacher={teacher} has its own weights"
            )
        return load_trained(Path(teacher)).network
    name, settings = name_and_settings(teacher, "distill.teacher")
    if ckpt is None:
        return task.pretrained_model(name, settings)
    network, _ = task.model(name, settings)
    load_weights(network, Path(ckpt), task)
    return network
