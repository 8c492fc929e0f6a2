"""What `output=` names, tried out before anything is computed for it."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shiftaddnas.errors import UserError


def output_folder(name: str) -> Path:
    """A folder that is there, or can be made; trying leaves nothing behind.

    Raises:
        UserError: it is a file, or cannot be made or written.
    """
    path = Path(name)
    with _explained(path):
        if path.is_file():
            raise UserError(f"output={path} is a file; name a folder")
        _write_into(path)
    return path


def output_file(path: Path) -> Path:
    """A file whose folder is there, or can be made; trying leaves nothing behind.

    Raises:
        UserError: it is a folder, or cannot be written.
    """
    with _explained(path):
        if path.is_dir():
            raise UserError(f"output={path} is a folder; name the file to write")
        _write_into(path.parent)
    return path


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"output={path} cannot be written ({error.strerror}); name another place") from None


def _write_into(folder: Path) -> None:
    """Write into the folder, or into the one in which it would be made."""
    place = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    with tempfile.NamedTemporaryFile(dir=place):
        pass
