"""From config to objects: the only place where that happens.

A node with `_target_` becomes a call. The callee's signature is its schema: unknown keys, missing values and wrong
types are found before anything is built, and reported by the setting's full name, in plug-ins as in what is shipped.
"""

import difflib
import functools
import inspect
import pkgutil
from collections.abc import Callable, Mapping
from typing import Any, cast, get_type_hints

from omegaconf import MISSING
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from shiftaddnas.errors import UserError


def build(node: Any, name: str, **given: Any) -> Any:
    """The object of a config node (plain containers), with its nested nodes built first.

    Args:
        name: the node's full name, for messages.
        given: arguments that do not come from the config.

    Raises:
        UserError: a setting is unknown, missing or of the wrong type, or the callee refuses it.
    """
    if isinstance(node, list):
        return [build(item, f"{name}[{index}]") for index, item in enumerate(node)]
    if not isinstance(node, Mapping):
        return node
    settings = {
        key: build(value, f"{name}.{key}") for key, value in node.items() if key not in _DIRECTIVES and value != MISSING
    }
    if "_target_" not in node:
        return settings
    for key in settings.keys() & given:
        raise UserError(f"{name}.{key} is no setting: the command gives it itself")
    target = _target(node["_target_"], name)
    partial = bool(node.get("_partial_", False))
    arguments = _checked(target, settings, name, given=set(given), partial=partial) | given
    if partial:
        return functools.partial(target, **arguments)
    try:
        return target(**arguments)
    except UserError:
        raise
    except Exception as error:
        if not isinstance(error, (TypeError, ValueError, _lightning_refusal())):
            raise
        raise UserError(f"{name}: {node['_target_']} refuses its settings: {' '.join(str(error).split())}") from error


_DIRECTIVES = ("_target_", "_partial_")


def _lightning_refusal() -> type[Exception]:
    """What Lightning raises for settings that contradict each other; imported only where something was refused."""
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    return MisconfigurationException


def _target(path: Any, name: str) -> Callable[..., Any]:
    try:
        target: Any = pkgutil.resolve_name(path)
    except Exception as error:
        raise UserError(f"{name}._target_={path} cannot be imported: {' '.join(str(error).split())}") from error
    if not callable(target):
        raise UserError(f"{name}._target_={path} is not a class or function")
    return cast(Callable[..., Any], target)


def _checked(
    target: Callable[..., Any], settings: Mapping[str, Any], name: str, *, given: set[str], partial: bool
) -> dict[str, Any]:
    parameters = inspect.signature(target).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        for key in settings:
            if key not in parameters:
                raise UserError(f"{name}.{key} is not a setting; {suggest(key, set(parameters) - given, name)}")
    required = [
        key
        for key, parameter in parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    missing = [key for key in required if key not in settings and key not in given]
    if missing and not partial:
        raise UserError(f"{name}.{missing[0]} is missing; set {name}.{missing[0]}=...")
    hints = _hints(target)
    return {key: _converted(value, hints.get(key), f"{name}.{key}") for key, value in settings.items()}


def _hints(target: Callable[..., Any]) -> dict[str, Any]:
    try:
        return get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except (NameError, TypeError, AttributeError):
        return {}


def _converted(value: Any, hint: Any, name: str) -> Any:
    """The value as its annotation says, for instance a mapping as a dataclass; as it is where there is no telling."""
    adapter = None if hint is None else _adapter(hint)
    if adapter is None:
        return value
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise UserError(_explain(error, value, name)) from None
    except TypeError:  # a protocol that cannot be checked
        return value


def _explain(error: ValidationError, value: Any, name: str) -> str:
    """Which setting is wrong and what it may be; of a type with alternatives, all of them."""
    first, *others = error.errors()
    refusal = first.get("ctx", {}).get("error")
    if isinstance(refusal, UserError):  # of the type itself, which has said it all
        return str(refusal)
    for part in first["loc"]:
        try:
            value = value[part]
        except (TypeError, KeyError, IndexError):
            break  # from here on the location names the alternatives of the type
        name += f"[{part}]" if isinstance(part, int) else f".{part}"
    messages = dict.fromkeys(one["msg"] for one in (first, *others) if one["input"] == first["input"])
    return f"{name}={first['input']!r}: {' or '.join(messages)}"


def _adapter(hint: Any) -> TypeAdapter[Any] | None:
    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError as error:
        # Types with a config of their own (dataclasses, TypedDicts) take none from outside.
        if error.code != "type-adapter-config-unused":
            return None
    try:
        return TypeAdapter(hint)
    except PydanticUserError:
        return None


def suggest(key: str, allowed: set[str], name: str) -> str:
    """What the user may have meant, and what there is."""
    close = difflib.get_close_matches(key, sorted(allowed), n=1)
    prefix = f"{name}." if name else ""
    hint = f"did you mean {prefix}{close[0]}? " if close else ""
    return f"{hint}settings there: {', '.join(sorted(allowed))}"
