"""One choice from a space, as data: hashable, with a stable id, readable and writable as YAML."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from shiftaddnas.errors import UserError
from shiftaddnas.files import write_atomically

Choice = str | int | tuple[int, ...]


def as_choice(value: object) -> Choice:
    """A choice from plain data: lists, as YAML and JSON have them, become tuples."""
    if isinstance(value, list | tuple) and all(type(item) is int for item in value):
        return tuple(value)
    if isinstance(value, str) or type(value) is int:
        return value
    raise UserError(f"a choice is a name, a whole number or a list of whole numbers, not {value!r}")


@dataclass(frozen=True)
class Arch:
    """The decisions of one architecture, in the order in which its space takes them.

    Two archs are equal when their decisions are; whether the decisions are legal is the space's to say
    (`Space.arch` makes only legal, canonical ones).
    """

    decisions: tuple[tuple[str, Choice], ...]

    @cached_property
    def id(self) -> str:
        """Twelve hexadecimal digits, the same in every process and on every machine."""
        canonical = json.dumps([[name, choice] for name, choice in self.decisions], separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def __getitem__(self, name: str) -> Choice:
        return self.as_dict()[name]

    def as_dict(self) -> dict[str, Choice]:
        return dict(self.decisions)

    def to_json(self) -> dict[str, Any]:
        """Plain data (tuples as lists) for JSON and YAML."""
        return {name: list(choice) if isinstance(choice, tuple) else choice for name, choice in self.decisions}


def write_arch(arch: Arch, path: Path) -> None:
    """Write the arch as YAML, atomically."""
    text = f"# arch {arch.id}\n" + yaml.safe_dump(arch.to_json(), sort_keys=False, default_flow_style=None)
    write_atomically(path, text)


def read_choices(path: Path) -> dict[str, Choice]:
    """The decisions in an arch file, by name; `Space.arch` makes an Arch of them.

    Raises:
        UserError: the file is missing, or is not a mapping of decision names to choices.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"arch file {path} does not exist") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"arch file {path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise UserError(f"arch file {path} holds {type(content).__name__}, not a mapping of decisions to choices")
    return {str(name): as_choice(value) for name, value in content.items()}
