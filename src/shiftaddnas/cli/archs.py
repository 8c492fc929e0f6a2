"""What `arch=` may name: an arch file, a shipped one by its path in conf/archs, or an arch in its space's notation."""

from pathlib import Path
from typing import Any

from shiftaddnas.cli.app import config_folder
from shiftaddnas.errors import UserError
from shiftaddnas.spaces import Arch, Space, read_choices


def find_arch(name: str, space: Space[Any, Any]) -> Arch:
    """The arch of a file, a shipped name, or the notation that the field has for the space.

    A file holds either decisions by name or an arch in that notation.

    Raises:
        UserError: it is none of these, or the arch is not of this space.
    """
    folder = config_folder() / "archs"
    shipped = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}
    path = Path(name) if Path(name).is_file() else shipped.get(name, Path(name))
    try:
        if path.is_file():
            return space.read_notation(path.read_text(errors="replace")) or space.arch(read_choices(path))
        arch = space.read_notation(name)
    except UserError as error:
        raise UserError(f"arch={name}: {error}") from None
    if arch is None:
        raise UserError(
            f"arch={name} is neither a file, nor a shipped arch, nor in a notation of space {space.name}; "
            f"shipped are {', '.join(shipped) or 'none'}"
        )
    return arch
