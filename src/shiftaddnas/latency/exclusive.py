"""One process at a time writes a file of measurements: two that measure at once would spoil each other's times."""

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shiftaddnas.errors import UserError

_log = logging.getLogger(__name__)


@contextmanager
def exclusive(path: Path, setting: str) -> Iterator[None]:
    """Be the only process that writes this file; waits, with a note, for another that does.

    The operating system gives the lock free when a process ends, however it ends.

    Args:
        setting: what the user set the path with, for messages.

    Raises:
        UserError: there can be no file of this name.
    """
    lock = path.with_name(f".{path.name}.lock")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as error:
        raise UserError(f"{setting}={path} cannot be written ({error.strerror}); give another file") from None
    with file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _log.info("waiting for another process that measures for %s", path)
            fcntl.lockf(file, fcntl.LOCK_EX)
        yield
