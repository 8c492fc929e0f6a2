"""Waiting for one process of a distributed run, however long that takes."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from torch import distributed

LONGEST = timedelta(days=365)
"""How long is waited; a process that is killed releases the others at once."""


@contextmanager
def waiting_for_all() -> Iterator[None]:
    """What one process does inside, the others wait for when they leave; nothing where nothing is distributed.

    Whoever waits in the training's own group gives up after its timeout, half an hour by default.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        yield
        return
    group = distributed.new_group(backend="gloo", timeout=LONGEST)
    yield
    distributed.barrier(group)  # type: ignore[arg-type]  # no process is outside the group
