"""One writer per run folder."""

import errno
import fcntl
import os
import socket
from pathlib import Path

from shiftaddnas.errors import UserError


class FolderLock:
    """A lock on a file that the operating system releases when the process ends, however it ends.

    It is a POSIX record lock: unlike `flock`, forked data-loading workers do not inherit it, so that workers which
    outlive a killed run for some seconds do not keep the run folder locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; does nothing if it is held already.

        Raises:
            UserError: another process holds it.
        """
        while self._descriptor is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN):  # a file system without locks, for instance
                    os.close(descriptor)
                    raise OSError(error.errno, error.strerror, str(self.path)) from None
                holder = os.read(descriptor, 200).decode(errors="replace").strip() or "another process"
                os.close(descriptor)
                raise UserError(
                    f"run folder {self.path.parent} is being written by {holder}: "
                    "wait until it ends, end it, or use another hydra.run.dir"
                ) from None
            if not self._is_current(descriptor):
                os.close(descriptor)
                continue
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
            self._descriptor = descriptor

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def release(self) -> None:
        """Give the lock back and remove its file; does nothing if it is not held."""
        if self._descriptor is not None:
            self.path.unlink(missing_ok=True)
            os.close(self._descriptor)
            self._descriptor = None

    def _is_current(self, descriptor: int) -> bool:
        # A holder removes the file when it is done: what was opened just before that is no longer the lock.
        try:
            return self.path.stat().st_ino == os.fstat(descriptor).st_ino
        except FileNotFoundError:
            return False
