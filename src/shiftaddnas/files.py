"""Files that are either whole or not there: what is written is first complete on disk, then takes its name."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a process killed in between, sees the old content or the new, never a part."""
    with opened_atomically(path) as file:
        file.write(content.encode() if isinstance(content, str) else content)


@contextmanager
def opened_atomically(path: Path) -> Iterator[BinaryIO]:
    """A file to write to piece by piece, which takes its name when all is written; an error leaves no trace of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
