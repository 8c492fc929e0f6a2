"""The command line that trains one network with given settings."""

import json
import math
import re
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton

from shiftaddnas.cli import plugins
from shiftaddnas.cli.app import config_folder, plain_config

GROUPS = ("task", "space", "sharing", "sampling", "schedule", "optim", "trainer", "hardware", "callbacks")
IGNORED = ("logger", "paths", "fresh", "arch", "ckpt")


def train_command(settings: Mapping[str, Any], choices: Mapping[str, str], arch: str) -> str:
    """`shiftaddnas train arch=...`, with the groups and the single settings that differ from the defaults.

    Where this process runs a script, it is the train.py beside it.

    Args:
        settings: what to train with, as a resolved config.
        choices: the option chosen for each config group.
    """
    defaults = _composed([])
    groups = [f"{name}={choices[name]}" for name in GROUPS if name in choices and choices[name] is not None]
    # Groups whose default does already what is wanted need no mention.
    groups = [
        override
        for override in groups
        if defaults[override.split("=")[0]] != _composed([override])[override.split("=")[0]]
    ]
    composed = _composed(groups)
    differing = [
        override
        for name, value in settings.items()
        if name in composed and name not in IGNORED
        for override in _overrides(name, composed[name], value)
    ]
    script = Path(sys.argv[0])
    program = ["python", str(script.with_name("train.py"))] if script.suffix == ".py" else ["shiftaddnas", "train"]
    return shlex.join([*program, *config_options(), f"arch={arch}", *groups, *differing])


def config_options() -> list[str]:
    """The running job's --config-dir and hydra.searchpath."""
    folders = [source.path for source in _sources("command-line")]
    return [*(option for folder in folders[:1] for option in ("--config-dir", folder)), *_search_path(SEARCH_PATH)]


SEARCH_PATH = "hydra.searchpath in "  # how Hydra names what provides a source


def _sources(provider: str) -> list[Any]:
    return [one for one in HydraConfig.get().runtime.config_sources if one.provider.startswith(provider)]


def _search_path(*providers: str) -> list[str]:
    """The override that adds the folders of these providers."""
    sources = [source for provider in providers for source in _sources(provider)]
    written = [_written(f"{source.schema}://{source.path}") for source in sources]
    return [f"hydra.searchpath=[{','.join(written)}]"] if written else []


def _composed(overrides: list[str]) -> dict[str, Any]:
    """The training's resolved config, composed beside the Hydra job that is running."""
    searched = _search_path("command-line", SEARCH_PATH)
    state = Singleton.get_state()
    GlobalHydra.instance().clear()
    plugins.register()  # of which a state that is set, here or by a launcher, knows nothing
    try:
        with hydra.initialize_config_dir(str(config_folder()), version_base="1.3"):
            return plain_config(hydra.compose("train", [*searched, *overrides]))
    finally:
        Singleton.set_state(state)


def _overrides(name: str, before: Any, after: Any) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in after:
            if key in before:
                yield from _overrides(f"{name}.{key}", before[key], after[key])
            else:
                yield f"+{name}.{key}={_written(after[key])}"
        for key in set(before) - set(after):
            yield f"~{name}.{key}"
    elif before != after or type(before) is not type(after):  # 1 batch is not 1.0, all of them
        yield f"{name}={_written(after)}"


def _written(value: Any) -> str:
    """A value in Hydra's override grammar, which has backslashes before quotes alone."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_written(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(_written(item) for item in value) + "]"
    if isinstance(value, str):
        return '"' + re.sub(r'(\\*)("|$)', lambda found: 2 * found[1] + found[2].replace('"', '\\"'), value) + '"'
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return json.dumps(value)
