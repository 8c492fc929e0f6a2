"""What the figures of costs show: which bars, and which parts."""

import pytest

from shiftaddnas.hardware import Cost, Layer, Metric, Values
from shiftaddnas.report.cost_breakdown import Breakdown
from shiftaddnas.report.cost_figures import MAX_BARS, grouped, stacks

KINDS = ("mult", "add", "shift")


def breakdown(paths: list[str], *metrics: str) -> Breakdown:
    """Layers of all kinds in turn; layer i costs i + 1 in the first metric, twice that in the second, and so on."""
    layers = tuple(
        (
            Layer(path, "", "linear", KINDS[number % 3], N=1, C=1, M=1),  # type: ignore[arg-type]
            Values({name: (number + 1.0) * (rank + 1) for rank, name in enumerate(metrics)}),
        )
        for number, path in enumerate(paths)
    )
    units = tuple(Metric(name, "mJ") for name in metrics)
    return Breakdown(
        "net", units, Cost(Values(dict.fromkeys(metrics, 1.0)), layers), tuple(tuple(p.split(".")) for p in paths)
    )


def test_a_small_network_has_a_bar_for_each_layer() -> None:
    assert grouped(breakdown(["a.x", "a.y", "b"], "energy_mj")) == [("a.x", [0]), ("a.y", [1]), ("b", [2])]


def test_a_large_network_has_a_bar_for_each_block() -> None:
    paths = [f"stage.{block}.conv{number}" for block in range(MAX_BARS - 1) for number in (1, 2)] + ["head"]
    bars = grouped(breakdown(paths, "energy_mj"))
    assert bars[0] == ("stage.0", [0, 1])
    assert bars[-1] == ("head", [len(paths) - 1])
    assert len(bars) == MAX_BARS


def test_blocks_that_come_again_are_bars_of_their_own() -> None:
    paths = ["a.x", "b.x"] * MAX_BARS
    assert [label for label, _ in grouped(breakdown(paths, "energy_mj"))] == ["a", "b"] * MAX_BARS


def test_energy_is_split_into_its_parts() -> None:
    metric, series = stacks(breakdown(["a", "b"], "latency_ms", "energy_mj", "noc_mj", "dram_mj"), [[0, 1]])
    assert metric == "energy_mj"
    assert [(name, values) for name, _, values in series] == [("NoC", [9.0]), ("DRAM", [12.0])]
    assert len({color for _, color, _ in series}) == 2


@pytest.mark.parametrize(
    ("metrics", "drawn"), [(("energy_mj",), "energy_mj"), (("latency_ms", "num_macs"), "latency_ms")]
)
def test_without_parts_the_kinds_of_arithmetic_are_shown(metrics: tuple[str, ...], drawn: str) -> None:
    metric, series = stacks(breakdown(["a", "b", "c", "d"], *metrics), [[0, 3], [1, 2]])
    assert metric == drawn
    assert [(name, values) for name, _, values in series] == [
        ("mult", [1.0 + 4.0, 0.0]),
        ("add", [0.0, 2.0]),
        ("shift", [0.0, 3.0]),
    ]
