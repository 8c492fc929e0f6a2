"""What `arch=` may name: an arch file, or an arch that is shipped with the configs."""

from pathlib import Path
from typing import Any

from shiftaddnas.cli.app import config_folder
from shiftaddnas.errors import UserError
from shiftaddnas.spaces import Arch, Space, read_choices


def find_arch(name: str, space: Space[Any, Any]) -> Arch:
    """The arch of a file or a shipped name.

    Raises:
        UserError: there is no such file or name, or the arch is not of this space.
    """
    shipped = {path.stem: path for path in sorted((config_folder() / "archs").glob("*.yaml"))}
    path = Path(name)
    if not path.is_file():
        if name not in shipped:
            raise UserError(
                f"arch={name} is neither a file nor a shipped arch; shipped are {', '.join(shipped) or 'none'}"
            )
        path = shipped[name]
    try:
        return space.arch(read_choices(path))
    except UserError as error:
        raise UserError(f"arch={name}: {error}") from None
