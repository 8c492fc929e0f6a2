import os

import pytest
import torch

from shiftaddnas.errors import UserError
from shiftaddnas.latency.machine import device_name, first_difference, machine_id, this_machine


def test_a_machine_is_told_by_all_that_times_depend_on() -> None:
    machine = this_machine("cpu", 3)
    assert machine["device"] == "cpu"
    assert machine["num_threads"] == "3"
    assert machine["torch"] == torch.__version__.split("+")[0]
    assert machine["adder"] in ("native", "torch")
    assert machine["clock"] == "time on the wall"
    assert this_machine("cpu", 1)["clock"] == "processor time"


def test_another_adder_backend_is_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "SHIFTADDNAS_ADDER", "torch")
    assert this_machine("cpu", 1)["adder"] == "torch"


def test_differences_are_told_in_words() -> None:
    ours = {"cpu": "A", "num_threads": "1"}
    assert first_difference({"cpu": "A", "num_threads": "1", "date": "today"}, ours) is None
    assert first_difference({"cpu": "A", "num_threads": "2"}, ours) == "num_threads is 2 there and 1 here"
    assert first_difference({"num_threads": "1"}, ours) == "cpu is not told there and A here"
    assert machine_id(ours) == machine_id(dict(ours))
    assert machine_id(ours) != machine_id({**ours, "num_threads": "2"})


@pytest.mark.parametrize("device", ["tpu", "cuda:99", "cpu:1", ""])
def test_a_device_that_is_not_here_is_refused(device: str) -> None:
    with pytest.raises(UserError, match=f"device={device} is not here"):
        device_name(device)


def test_no_threads_are_refused() -> None:
    with pytest.raises(UserError, match="num_threads=0"):
        this_machine("cpu", 0)
