"""Plug-ins of other packages: what a package names in the entry point group `shiftaddnas.<group>` is an option there.

Names come from the packages' metadata. A package is imported only where its plug-in is chosen; the option's settings
are then the parameters of the constructor with their defaults, so that each can be changed on the command line.
"""

import importlib.metadata
import inspect
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.object_type import ObjectType
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigLoadError, ConfigResult, ConfigSource
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import MISSING, OmegaConf

from shiftaddnas.errors import UserError

EntryPoint = importlib.metadata.EntryPoint

GROUPS: dict[str, frozenset[str]] = {
    "task": frozenset(),
    "space": frozenset(),
    "sharing": frozenset(),
    "search": frozenset({"space", "feasible", "rng"}),
    "hardware": frozenset(),
}
"""The config groups that packages can add to, and what a command gives to the constructors itself."""


@cache
def _installed() -> Mapping[str, Mapping[str, tuple[EntryPoint, ...]]]:
    """The entry points of each group by name."""
    everything = importlib.metadata.entry_points()
    found: dict[str, dict[str, tuple[EntryPoint, ...]]] = {}
    for group in GROUPS:
        named = found.setdefault(group, {})
        for entry in everything.select(group=f"shiftaddnas.{group}"):
            named[entry.name] = (*named.get(entry.name, ()), entry)
    return found


def register() -> None:
    """Let Hydra find the plug-ins, in every composition of this process."""
    Plugins.instance().register(EntryPoints)
    Plugins.instance().register(SearchEntryPoints)


def ambiguities(choices: Mapping[str, Any], sources: Iterable[Any]) -> list[str]:
    """A line for each chosen plug-in beside which there is a config file of that name: which of the two is used.

    Args:
        choices: the option chosen for each group.
        sources: where configs come from, in the order in which Hydra looks for one.
    """
    notes = []
    for group, found in _installed().items():
        name = str(choices.get(group))
        if name not in found:
            continue
        packages = " and ".join(map(_package, found[name]))
        places = [_place(source, group, name, f"the plug-in of {packages}") for source in sources]
        used, *others = filter(None, places)
        if others:
            notes.append(f"{group}={name} is {used}, not {' or '.join(others)}")
    return notes


def _place(source: Any, group: str, name: str, plugin: str) -> str | None:
    """What a source of configs has under this name."""
    if source.schema == EntryPoints.scheme():
        return plugin
    path = Path(source.path) / group / f"{name}.yaml"
    return str(path) if source.schema == "file" and path.is_file() else None


class EntryPoints(ConfigSource):
    """The options of all groups that are entry points."""

    @staticmethod
    def scheme() -> str:
        return "entry-points"

    def load_config(self, config_path: str) -> ConfigResult:
        found = _entries(config_path)
        if not found:
            raise ConfigLoadError(f"there is no entry point for {config_path}")
        group, name = _split(config_path)
        config = OmegaConf.create(_settings(f"{group}={name}", found, GROUPS[group]))
        return ConfigResult(self.provider, self.full_path(), config, header={"package": None})

    def available(self) -> bool:
        return True

    def is_group(self, config_path: str) -> bool:
        path = config_path.strip("/")
        return path == "" or bool(_installed().get(path))

    def is_config(self, config_path: str) -> bool:
        return bool(_entries(config_path))

    def list(self, config_path: str, results_filter: ObjectType | None) -> list[str]:
        path = config_path.strip("/")
        if path:
            return [] if results_filter == ObjectType.GROUP else sorted(_installed().get(path, {}))
        return [] if results_filter == ObjectType.CONFIG else sorted(name for name, has in _installed().items() if has)


class SearchEntryPoints(SearchPathPlugin):
    """Looks for options among the entry points too, after the shipped configs."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        search_path.append("shiftaddnas-plugins", f"{EntryPoints.scheme()}://")


def _split(config_path: str) -> tuple[str, str]:
    group, _, name = config_path.strip("/").removesuffix(".yaml").rpartition("/")
    return group, name


def _entries(config_path: str) -> tuple[EntryPoint, ...]:
    group, name = _split(config_path)
    return _installed().get(group, {}).get(name, ())


def _package(entry: EntryPoint) -> str:
    return "an unnamed package" if entry.dist is None else f"package {entry.dist.name}"


def _settings(option: str, found: tuple[EntryPoint, ...], given: frozenset[str]) -> dict[str, Any]:
    """The config of a plug-in: its class or function, and its parameters but for those that are given."""
    entry, *others = found
    if others:
        packages = " and ".join(map(_package, found))
        raise UserError(f"{option} is a plug-in of {packages}; uninstall one of them, or write a config file for each")
    what = f"{option}: entry point {entry.group}: {entry.name} = {entry.value} of {_package(entry)}"
    try:
        target = entry.load()
        parameters = inspect.signature(target).parameters
    except Exception as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{what} cannot be used: {type(error).__name__}: {reason}") from error
    settings: dict[str, Any] = {"_target_": f"{entry.module}:{entry.attr}"}
    for name, parameter in parameters.items():
        if name in given or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if parameter.default is not parameter.empty:
            if _is_plain(parameter.default):
                settings[name] = parameter.default
        else:
            settings[name] = entry.name if name == "name" else MISSING
    return settings


def _is_plain(value: Any) -> bool:
    """Whether a config can hold a default; others are left to the constructor."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
