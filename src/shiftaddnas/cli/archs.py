"""What `arch=` may name: an arch file, an arch that is shipped with the configs, or an arch in its space's notation."""

from pathlib import Path
from typing import Any

from shiftaddnas.cli.app import config_folder
from shiftaddnas.errors import UserError
from shiftaddnas.spaces import Arch, Space, read_choices


def find_arch(name: str, space: Space[Any, Any]) -> Arch:
    """The arch of a file, a shipped name, or the notation that the field has for the space.

    Raises:
        UserError: it is none of these, or the arch is not of this space.
    """
    shipped = {path.stem: path for path in sorted((config_folder() / "archs").glob("*.yaml"))}
    path = Path(name) if Path(name).is_file() else shipped.get(name, Path(name))
    try:
        if path.is_file():
            return space.arch(read_choices(path))
        arch = space.read_notation(name)
    except UserError as error:
        raise UserError(f"arch={name}: {error}") from None
    if arch is None:
        raise UserError(
            f"arch={name} is neither a file, nor a shipped arch, nor in a notation of space {space.name}; "
            f"shipped are {', '.join(shipped) or 'none'}"
        )
    return arch
