from dataclasses import replace
from pathlib import Path

import pytest

from shiftaddnas.errors import UserError
from shiftaddnas.files import write_atomically
from shiftaddnas.hardware import CostError, LatencyTable, Layer
from shiftaddnas.hardware.latency_table import (
    TableFile,
    Timing,
    computation,
    computations,
    describe,
    read_table,
    write_table,
)
from shiftaddnas.testing.hardware import check_hardware_cost
from shiftaddnas.testing.tiny_space import TinySpace

SPACE = TinySpace()
MACHINE = {"device": "cpu", "cpu": "Abacus: 2 (beads)", "num_threads": "1"}
LAYERS = computations(SPACE, 8)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A layer takes a millisecond for each of its output channels, and a tenth more where it adds."""
    timings = {layer: Timing(layer.M * (1.1 if layer.arithmetic == "add" else 1.0), 0.1, 15) for layer in LAYERS}
    write_table(tmp_path / "abacus.csv", TableFile(MACHINE, timings))
    return tmp_path / "abacus.csv"


def test_it_keeps_what_every_cost_promises(table: Path) -> None:
    check_hardware_cost(LatencyTable("abacus", str(table)), SPACE, 8)


def test_an_arch_takes_as_long_as_its_layers(table: Path) -> None:
    arch = SPACE.arch({"widths": (8, 16), "op0": "shift", "op1": "add", "head": "linear"})
    # A depthwise and a pointwise layer a block (3 and 8 channels, 8 and 16 which add), and ten classes
    expected = 3 + 8 + 1.1 * 8 + 1.1 * 16 + 10
    assert LatencyTable("abacus", str(table)).bind(SPACE, 8)(arch).values == pytest.approx({"latency_ms": expected})


def test_what_was_written_is_read(table: Path) -> None:
    content = read_table(table)
    assert content.machine == MACHINE
    assert set(content.timings) == set(LAYERS)
    exact = Timing(0.1 + 0.2, 1 / 3, 7)
    write_table(table, TableFile(MACHINE, {LAYERS[0]: exact}))
    assert read_table(table).timings == {LAYERS[0]: exact}


def test_names_and_parameters_take_no_time() -> None:
    layer = Layer("a", "b", "linear", "mult", N=1, C=2, M=3, num_params=9)
    assert computation(layer) == computation(replace(layer, name="x", role="y", num_params=0))
    assert computation(layer) != computation(replace(layer, arithmetic="shift"))
    assert describe(layer) == "op=linear, arithmetic=mult, N=1, C=2, M=3"


def test_a_missing_layer_is_named_with_the_command_that_measures_it(table: Path) -> None:
    content = read_table(table)
    gone = LAYERS[3]
    write_table(table, TableFile(MACHINE, {layer: t for layer, t in content.timings.items() if layer != gone}))
    cost = LatencyTable("abacus", str(table))
    with pytest.raises(UserError, match=f"lacks 1 of the {len(LAYERS)} layers of space tiny") as raised:
        cost.bind(SPACE, 8)
    assert describe(gone) in str(raised.value)
    assert f"hardware=host hardware.table={table}" in str(raised.value)
    assert "\n" not in str(raised.value)
    with pytest.raises(CostError, match="hardware=host"):
        cost.estimate([gone])


def test_another_workload_has_other_layers(table: Path) -> None:
    with pytest.raises(UserError, match="lacks"):
        LatencyTable("abacus", str(table)).bind(SPACE, 16)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("linear", "lineal", "line 6: op=lineal; allowed: conv2d, linear, matmul"),
        ("2.0", "two", "line 5: could not convert"),
        ("2.0", "nan", "line 5: latency_ms=nan"),
        ("2.0", "-2.0", "line 5: latency_ms=-2.0"),
        ("2.0,", "", "line 5: 22 values for 23 columns"),
        ("latency_ms", "seconds", "has columns seconds"),
        ("linear,mult,1,8,10", "linear,mult,1,8,11", "line 6: the same layer"),
    ],
)
def test_a_damaged_table_is_named_with_its_line(tmp_path: Path, before: str, after: str, message: str) -> None:
    path = tmp_path / "t.csv"
    linear = Layer("", "", "linear", "mult", N=1, C=8, M=10)
    timings = {replace(linear, M=11): Timing(2.0, 0.5, 3), linear: Timing(1.0, 0.5, 3)}
    write_table(path, TableFile(MACHINE, timings))
    rows = path.read_text().splitlines(keepends=True)
    line = next(index for index, row in reversed(list(enumerate(rows))) if before in row)
    rows[line] = rows[line].replace(before, after, 1)
    write_atomically(path, "".join(rows))
    with pytest.raises(UserError, match=message) as raised:
        read_table(path)
    assert str(path) in str(raised.value)


def test_a_table_that_is_cut_off_is_refused(table: Path) -> None:
    table.write_bytes(table.read_bytes()[:-2])
    with pytest.raises(UserError, match="is cut off"):
        read_table(table)
    table.write_bytes(b"")
    with pytest.raises(UserError, match="is cut off"):
        read_table(table)


def test_a_table_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"none.csv does not exist"):
        LatencyTable("abacus", "none.csv")
