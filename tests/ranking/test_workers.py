"""Jobs in worker processes: all are done, mistakes come back, and no process stays behind."""

import multiprocessing
import os
import signal
from collections.abc import Callable
from functools import partial

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


def test_all_jobs_are_done_with_one_thread_each() -> None:
    assert dict(in_workers(partial(make, 2), range(10), 2)) == {job: (2**job, 1) for job in range(10)}
    assert not multiprocessing.active_children()


@pytest.mark.parametrize(("job", "message"), [(13, "job=13 is not allowed"), (99, "ended from outside")])
def test_what_goes_wrong_is_told(job: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        list(in_workers(partial(make, 2), [1, job, *range(2, 8)], 1))
    for process in multiprocessing.active_children():
        process.join(10)
    assert not multiprocessing.active_children()


def test_no_jobs_need_no_workers() -> None:
    assert not list(in_workers(partial(make, 2), [], 1))
    with pytest.raises(UserError, match="num_workers=0"):
        list(in_workers(partial(make, 2), [1], 0))
