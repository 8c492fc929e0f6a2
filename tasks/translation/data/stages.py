"""Work that is done once: a stage's output is whole or not there, and a stage that is done is not done again."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from shiftaddnas.errors import UserError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """The folder, made if necessary, for this process alone: others wait. A process that ends gives it up.

    Raises:
        UserError: the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error.strerror}); set task.data.source.output") from None
    with file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


def stage(output: Path, work: Callable[[Path], None]) -> None:
    """Have `work` make the output, a folder, unless it is there.

    It is made under another name and takes its own when it is complete and on disk; what an error or a killed process
    left behind is removed. The caller holds the lock of the folder around it.

    Args:
        work: is given an empty folder to fill.
    """
    if output.exists():
        return
    unfinished = output.with_name(f".{output.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    try:
        work(unfinished)
        for path in (*unfinished.iterdir(), unfinished):
            _flush(path)
        unfinished.rename(output)
    except BaseException:
        shutil.rmtree(unfinished)
        raise
    _flush(output.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
