"""Jobs in worker processes: all are done, mistakes come back, and no process stays behind."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.process import BaseProcess

import pytest
import torch

from shiftaddnas.errors import UserError
from shiftaddnas.ranking.workers import in_workers

pytestmark = pytest.mark.slow


def make(base: int) -> Callable[[int], tuple[int, int]]:
    return partial(work, base)


def work(base: int, job: int) -> tuple[int, int]:
    if job == 13:
        raise UserError("job=13 is not allowed")
    if job == 99:
        os.kill(os.getpid(), signal.SIGKILL)
    return base**job, torch.get_num_threads()


def left_since(before: list[BaseProcess]) -> set[BaseProcess]:
    """The processes started since then that do not end within ten seconds."""
    deadline = time.monotonic() + 10
    while (left := set(multiprocessing.active_children()) - set(before)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def test_all_jobs_are_done_with_one_thread_each() -> None:
    before = multiprocessing.active_children()
    assert dict(in_workers(partial(make, 2), range(10), 2)) == {job: (2**job, 1) for job in range(10)}
    assert not left_since(before)


@pytest.mark.parametrize(("job", "message"), [(13, "job=13 is not allowed"), (99, "ended from outside")])
def test_what_goes_wrong_is_told(job: int, message: str) -> None:
    before = multiprocessing.active_children()
    with pytest.raises(UserError, match=message):
        list(in_workers(partial(make, 2), [1, job, *range(2, 8)], 1))
    assert not left_since(before)


def test_other_processes_of_the_caller_go_on() -> None:
    results = in_workers(partial(make, 2), range(3), 1)
    next(results)
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    other.start()
    try:
        assert len(list(results)) == 2
        other.join(2)
        assert other.is_alive()
    finally:
        other.kill()
        other.join()


def test_no_jobs_need_no_workers() -> None:
    assert not list(in_workers(partial(make, 2), [], 1))
    with pytest.raises(UserError, match="num_workers=0"):
        list(in_workers(partial(make, 2), [1], 0))
