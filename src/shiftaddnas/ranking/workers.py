"""Worker processes that end with the process that started them, each with one thread.

Every job runs in a worker, also where there is only one: results are then the same for any number of them.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, TypeVar

from shiftaddnas.errors import UserError

Job = TypeVar("Job")
Result = TypeVar("Result")

_work: list[Callable[[Any], Any]] = []
"""In a worker: what it does with a job."""


def in_workers(
    make: Callable[[], Callable[[Job], Result]], jobs: Sequence[Job], num_workers: int
) -> Iterator[tuple[Job, Result]]:
    """The results of jobs, in the order in which they are done.

    Args:
        make: called once in each worker, gives what is called with each job; everything must be picklable.

    Raises:
        UserError: there are no workers, or one was ended from outside.
    """
    if num_workers < 1:
        raise UserError(f"num_workers={num_workers} is not allowed; give at least 1")
    if not jobs:
        return
    before = set(multiprocessing.active_children())
    with _one_thread():
        executor = ProcessPoolExecutor(
            min(num_workers, len(jobs)), multiprocessing.get_context("spawn"), _begin, (make,)
        )
        futures = {executor.submit(_do, job): job for job in jobs}
    workers = set(multiprocessing.active_children()) - before
    try:
        for future in as_completed(futures):
            yield futures[future], future.result()
        executor.shutdown()
    except BrokenProcessPool:
        raise UserError(
            "a worker process was ended from outside, for instance for want of memory: the same command goes on "
            "where it stopped; give fewer num_workers"
        ) from None
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        for worker in workers:
            worker.terminate()


def _begin(make: Callable[[], Callable[[Any], Any]]) -> None:
    import torch

    # Ctrl-C reaches every process of a terminal; the main one sees to the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    _work.append(make())


def _do(job: Any) -> Any:
    return _work[0](job)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Processes that are started here are told to use one thread in all libraries."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before
