"""The space of a command that prices archs, and the workload that the task has for it."""

from collections.abc import Mapping
from typing import Any

from shiftaddnas.cli.build import build
from shiftaddnas.errors import UserError
from shiftaddnas.spaces import Space


def space_and_workload(settings: Mapping[str, Any]) -> tuple[Space[Any, Any], Any]:
    """Both, built of the settings. The data of the task need not be there.

    Raises:
        UserError: a setting is wrong, or the space is none of the task's.
    """
    space: Space[Any, Any] = build(settings["space"], "space")
    task = build(settings["task"], "task")
    workload = task.workload()
    try:
        space.layers(space.automaton.terms[0], workload)
    except UserError:
        pass  # not of another task, but of other data than these: the hardware may know better what is wrong
    except Exception:
        task.check_space(space)  # asked only now, for it may read the data
        raise
    return space, workload
