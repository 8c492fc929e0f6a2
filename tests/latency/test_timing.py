import time
from collections.abc import Callable

import pytest
import torch

from shiftaddnas.errors import UserError
from shiftaddnas.latency.timing import Protocol, awaited, clock_for, measuring, summary, time_call, time_round


class Machine:
    """A clock, and a call that takes the given milliseconds, one after another."""

    def __init__(self, *milliseconds: float) -> None:
        self.now = 100.0
        self.milliseconds = list(milliseconds)
        self.num_calls = 0

    def clock(self) -> float:
        return self.now

    def call(self) -> None:
        self.num_calls += 1
        self.now += self.milliseconds.pop(0) / 1e3


def test_a_round_warms_up_and_keeps_the_fastest_of_its_calls() -> None:
    machine = Machine(50, 40, 3, 2, 9, 4, 7)
    found = time_round(machine.call, Protocol(num_warmups=2, round_ms=0, min_calls=5), machine.clock)
    assert machine.num_calls == 7
    assert found.fastest_ms == pytest.approx(2)
    assert found.median_ms == pytest.approx(4)
    assert found.iqr_ms == pytest.approx(7 - 3)
    assert found.num_calls == 5


@pytest.mark.parametrize(("min_calls", "expected"), [(1, 4), (3, 4), (6, 6)])
def test_a_round_lasts_its_time_and_at_least_its_calls(min_calls: int, expected: int) -> None:
    machine = Machine(*[3] * 10)
    protocol = Protocol(num_warmups=0, round_ms=10, min_calls=min_calls)
    assert time_round(machine.call, protocol, machine.clock).num_calls == expected


def test_disturbed_rounds_do_not_move_the_latency() -> None:
    calm, disturbed = [2.0, 2.1, 2.2, 2.1, 2.0, 2.1, 2.2, 2.1], [2.0, 9.0, 9.0, 2.1, 2.0, 9.0, 9.0, 2.1]
    assert summary(calm).latency_ms == pytest.approx(2.075)
    assert summary(disturbed).latency_ms == pytest.approx(2.075)
    assert summary(calm).iqr_ms == pytest.approx(2.125 - 2.075)
    assert summary(calm).num_samples == 8


def test_a_latency_is_kept_to_six_digits() -> None:
    assert summary([1.23456789]).latency_ms == 1.23457


def test_a_call_is_timed_in_rounds() -> None:
    machine = Machine(8, 5, 6, 8, 4, 7, 8, 9, 3)
    timing = time_call(machine.call, Protocol(num_rounds=3, num_warmups=1, round_ms=0, min_calls=2), machine.clock)
    # the rounds' fastest calls are 5, 4 and 3
    assert (timing.latency_ms, timing.iqr_ms, timing.num_samples) == pytest.approx((3.5, 1.0, 3))


@pytest.mark.parametrize(
    "setting",
    [{"num_rounds": 0}, {"round_ms": -1.0}, {"min_calls": 0}, {"num_warmups": -1}, {"round_ms": float("nan")}],
)
def test_a_protocol_that_times_nothing_is_refused(setting: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"protocol.{next(iter(setting))}="):
        Protocol(**setting)  # type: ignore[arg-type]


def test_one_thread_is_timed_by_the_processor() -> None:
    assert clock_for("cpu", 1) is time.thread_time
    assert clock_for("cpu", 2) is time.perf_counter
    assert clock_for("cuda", 1) is time.perf_counter


def test_measuring_leaves_threads_and_autograd_as_they_were() -> None:
    before = torch.get_num_threads()
    with measuring(before + 1):
        assert torch.get_num_threads() == before + 1
        assert not torch.is_grad_enabled()
    assert torch.get_num_threads() == before
    assert torch.is_grad_enabled()


def test_a_gpu_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    call: Callable[[], None] = lambda: events.append("call")  # noqa: E731
    monkeypatch.setattr(torch.cuda, "synchronize", events.append)
    awaited(call, "cuda:1")()
    awaited(call, "cpu")()
    assert events == ["call", "cuda:1", "call"]
