import itertools
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from shiftaddnas.errors import UserError
from shiftaddnas.hardware import LatencyTable
from shiftaddnas.hardware.latency_table import TableFile, computations, read_table, write_table
from shiftaddnas.latency import HostLatency, Protocol
from shiftaddnas.testing.hardware import check_hardware_cost
from shiftaddnas.testing.tiny_space import TinySpace

SPACE = TinySpace()
LAYERS = computations(SPACE, 8)
PROTOCOL = Protocol(num_rounds=3, round_ms=0, min_calls=1, num_warmups=0)
READINGS = 3 * (1 + 2)  # of the clock for one layer: each round begins, and its call begins and ends


class Clock:
    """Every reading is a second later than the difference of the two before; counts its readings.

    As a class of this module it can be pickled with the cost that it is given to.
    """

    def __init__(self, most: float = float("inf")) -> None:
        self.most = most
        self.num_readings = 0

    def __call__(self) -> float:
        if self.num_readings >= self.most:
            raise KeyboardInterrupt
        self.num_readings += 1
        return self.num_readings**2 / 2e3


def host(table: Path, clock: Callable[[], float], **settings: int) -> HostLatency:
    return HostLatency("host", PROTOCOL, table=str(table), clock=clock, **settings)  # type: ignore[arg-type]


def test_it_keeps_what_every_cost_promises(tmp_path: Path) -> None:
    clock = Clock()
    check_hardware_cost(host(tmp_path / "t.csv", clock), SPACE, 8)
    assert clock.num_readings == READINGS * len(LAYERS)


def test_each_layer_is_timed_as_the_protocol_says(tmp_path: Path) -> None:
    host(tmp_path / "t.csv", Clock()).bind(SPACE, 8)
    timings = read_table(tmp_path / "t.csv").timings
    assert tuple(timings) == LAYERS
    # The k-th reading is k^2 / 2 ms, so the call between readings k and k + 1 takes k + 1/2 ms: those of the first
    # layer begin at readings 2, 5 and 8.
    assert timings[LAYERS[0]].latency_ms == pytest.approx((2.5 + 5.5) / 2)
    assert timings[LAYERS[0]].iqr_ms == pytest.approx(7 - 4)
    assert timings[LAYERS[0]].num_samples == 3


def test_what_was_timed_is_only_looked_up(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    first = host(table, Clock()).bind(SPACE, 8)
    archs = list(SPACE.archs())
    again = host(table, Clock(most=0))
    assert again.bind(SPACE, 8).batch(archs).tolist() == first.batch(archs).tolist()
    assert LatencyTable("there", str(table)).bind(SPACE, 8).batch(archs).tolist() == first.batch(archs).tolist()
    assert pickle.loads(pickle.dumps(again)).bind(SPACE, 8).batch(archs).tolist() == first.batch(archs).tolist()


def test_what_was_interrupted_goes_on_where_it_stopped(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    with pytest.raises(KeyboardInterrupt):
        host(table, Clock(most=READINGS * 4 + 3)).bind(SPACE, 8)
    kept = read_table(table).timings
    assert tuple(kept) == LAYERS[:4]
    clock = Clock()
    host(table, clock).bind(SPACE, 8)
    assert clock.num_readings == READINGS * (len(LAYERS) - 4)
    assert {layer: read_table(table).timings[layer] for layer in LAYERS[:4]} == kept


def test_another_workload_adds_its_layers(tmp_path: Path) -> None:
    table, clock = tmp_path / "t.csv", Clock()
    host(table, Clock()).bind(SPACE, 8)
    host(table, clock).bind(SPACE, 4)
    new = set(computations(SPACE, 4)) - set(LAYERS)
    assert 0 < len(new) < len(LAYERS)  # the heads are the same
    assert clock.num_readings == READINGS * len(new)
    assert set(read_table(table).timings) == set(LAYERS) | new


def test_bare_layers_are_timed_when_they_are_priced(tmp_path: Path) -> None:
    table, clock = tmp_path / "t.csv", Clock()
    cost = host(table, clock).estimate([LAYERS[0], LAYERS[0], LAYERS[1]])
    assert clock.num_readings == READINGS * 2
    timings = read_table(table).timings
    expected = 2 * timings[LAYERS[0]].latency_ms + timings[LAYERS[1]].latency_ms
    assert cost.values == pytest.approx({"latency_ms": expected})


def test_a_table_of_another_machine_is_not_taken_for_this_one(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    host(table, Clock(), num_threads=2).bind(SPACE, 8)
    before = table.read_bytes()
    with pytest.raises(UserError, match=r"was not measured here: num_threads is 2 there and 1 here") as raised:
        host(table, Clock())
    assert "hardware=latency_table" in str(raised.value)
    assert table.read_bytes() == before
    content = read_table(table)
    for name in ("cpu", "torch", "adder"):
        write_table(table, TableFile({**content.machine, name: "other"}, content.timings))
        with pytest.raises(UserError, match=f"{name} is other there"):
            host(table, Clock(), num_threads=2)


def test_each_machine_has_a_table_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    tables = set()
    for num_threads, backend in itertools.product((1, 2), ("native", "torch")):
        monkeypatch.setenv("SHIFTADDNAS_ADDER", backend)
        for most in (float("inf"), 0):
            cost = HostLatency("host", PROTOCOL, num_threads=num_threads, clock=Clock(most))
            cost.estimate(LAYERS[:1])
            tables.add(cost.table)
    assert len(tables) == 4
    assert {table.parent for table in tables} == {tmp_path / "shiftaddnas" / "latency"}


def test_a_table_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"hardware.table=.* cannot be written"):
        host(tmp_path / "file" / "t.csv", Clock()).bind(SPACE, 8)
