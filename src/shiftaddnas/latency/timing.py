"""How a computation is timed so that the figure holds on a machine that others use too.

One thread is timed by its processor time, which is the time on the wall where the machine is otherwise idle. What other
processes still do to it, by the caches and the clock speed that they share, only ever makes it slower: so a round keeps
the fastest of its calls, and the latency is the lower quartile over rounds. The median would need most rounds to be
undisturbed, the minimum would rest on one.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from shiftaddnas.errors import UserError
from shiftaddnas.hardware.latency_table import Timing

Clock = Callable[[], float]
"""Seconds, from any origin."""


@dataclass(frozen=True)
class Protocol:
    """How often something is run.

    Args:
        num_rounds: the latency is the lower quartile over so many rounds, its spread their interquartile range.
        round_ms: a round takes the fastest of the calls that fit into this time,
        min_calls: and at least of so many.
        num_warmups: calls before the first timed one, in every round.

    Raises:
        UserError: a number is out of range.
    """

    num_rounds: int = 15
    round_ms: float = 10.0
    min_calls: int = 5
    num_warmups: int = 3

    def __post_init__(self) -> None:
        for name, least in (("num_rounds", 1), ("round_ms", 0), ("min_calls", 1), ("num_warmups", 0)):
            if not getattr(self, name) >= least:
                raise UserError(f"protocol.{name}={getattr(self, name)} is not allowed; give at least {least}")


@dataclass(frozen=True)
class Round:
    """The times of one round's calls."""

    fastest_ms: float
    median_ms: float
    iqr_ms: float
    num_calls: int


def time_round(call: Callable[[], Any], protocol: Protocol, clock: Clock) -> Round:
    """One round of calls, each timed alone."""
    for _ in range(protocol.num_warmups):
        call()
    seconds: list[float] = []
    begin = now = clock()
    while len(seconds) < protocol.min_calls or now - begin < protocol.round_ms / 1e3:
        start = clock()
        call()
        now = clock()
        seconds.append(now - start)
    low, median, high = 1e3 * np.percentile(seconds, (25, 50, 75))
    return Round(1e3 * min(seconds), float(median), float(high - low), len(seconds))


def summary(rounds: Sequence[float]) -> Timing:
    """The latency that rounds of so many milliseconds stand for, to six digits: no clock tells more."""
    low, high = np.percentile(rounds, (25, 75))
    return Timing(float(f"{low:.6g}"), float(f"{high - low:.6g}"), len(rounds))


def time_call(call: Callable[[], Any], protocol: Protocol, clock: Clock) -> Timing:
    """The latency of a call, all rounds in a row."""
    return summary([time_round(call, protocol, clock).fastest_ms for _ in range(protocol.num_rounds)])


def clock_for(device: str, num_threads: int) -> Clock:
    """Processor time where all is done in one thread, else the time on the wall."""
    return time.thread_time if device == "cpu" and num_threads == 1 else time.perf_counter


@contextmanager
def measuring(num_threads: int) -> Iterator[None]:
    """Without autograd and with so many threads; the number of threads before is restored."""
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        with torch.inference_mode():
            yield
    finally:
        torch.set_num_threads(before)


def awaited(call: Callable[[], Any], device: str) -> Callable[[], Any]:
    """The call, ending only when the device has done its work."""
    if device == "cpu":
        return call

    def run() -> None:
        call()
        torch.cuda.synchronize(device)

    return run
