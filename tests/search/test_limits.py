import re
from typing import Any

import pytest

from shiftaddnas.errors import UserError
from shiftaddnas.hardware import BoundCost, Cost, CostError, Layer, LayerModel, Metric, Values, distribution
from shiftaddnas.search import Feasibility, Limits, split_limits
from shiftaddnas.spaces import Arch
from shiftaddnas.testing.tiny_space import TinySpace

SPACE = TinySpace()
METRICS = (Metric("energy_mj", "mJ"), Metric("num_params", ""), Metric("latency_ms", "ms", additive=False))
RANGE = {"energy_mj": (0.0123456, 2.0), "num_params": (1000.0, 500_000.0)}


class Bound(BoundCost):
    """Energies by operator of the first block, and the range that a test wants to have."""

    def __init__(self, extremes: dict[str, tuple[float, float]] | CostError = RANGE) -> None:
        super().__init__("table", METRICS)
        self._extremes = extremes

    def estimate(self, arch: Arch) -> Cost:
        if arch["head"] == "shift":
            raise RuntimeError("no such head")
        energy = 1.5 if arch["op0"] == "conv" else 0.5
        return Cost(Values({"energy_mj": energy, "num_params": 2000.0, "latency_ms": 7.0}))

    def extremes(self) -> dict[str, tuple[float, float]]:
        if isinstance(self._extremes, CostError):
            raise self._extremes
        return self._extremes


def limits(settings: dict[str, Any], bound: BoundCost | None = None) -> Limits:
    return Limits.from_settings(settings, bound or Bound(), "digits")


def test_numbers_shares_and_null() -> None:
    read = limits({"max_energy_mj": 0.5, "min_num_params": "20%", "max_num_params": "50 %", "max_latency_ms": None})
    bounds = {limit.metric.name: (limit.least, limit.most) for limit in read.limits}
    assert bounds == {"energy_mj": (0.0, 0.5), "num_params": (100_000.0, 250_000.0)}
    assert str(read) == "energy_mj <= 0.5 mJ and num_params >= 100000 and num_params <= 250000"
    assert read.notes == ()
    assert limits({}).limits == limits({"max_energy_mj": None}).limits == ()


def test_metrics_without_a_range_take_numbers_only() -> None:
    assert limits({"max_latency_ms": "9"}).limits[0].most == 9.0
    with pytest.raises(UserError, match=r"max_latency_ms=60% is a share .* not known here; give a number in ms"):
        limits({"max_latency_ms": "60%"})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"max_energy": 1},
            "max_energy limits no metric of hardware table; its metrics: energy_mj (mJ), num_params (count)",
        ),
        (
            {"max_energy_mj": -1},
            "max_energy_mj=-1 is not a limit; allowed: a number >= 0 in mJ, a share such as 60%, or null",
        ),
        ({"max_energy_mj": "half"}, "search.max_energy_mj=half is not a limit"),
        ({"max_energy_mj": "%"}, "search.max_energy_mj=% is not a limit"),
        ({"max_energy_mj": "nan"}, "search.max_energy_mj=nan is not a limit"),
        ({"max_energy_mj": True}, "search.max_energy_mj=True is not a limit"),
        ({"max_energy_mj": [1]}, "search.max_energy_mj=[1] is not a limit"),
        ({"min_energy_mj": 1, "max_energy_mj": "40%"}, "search.min_energy_mj=1 is above search.max_energy_mj=40%"),
        (
            {"max_energy_mj": 0.001},
            "search.max_energy_mj=0.001 is impossible: the cheapest arch of space digits has energy_mj = 0.01235 mJ; "
            "allow at least that",
        ),
        ({"max_num_params": "0.1%"}, "search.max_num_params=0.1% is impossible: the cheapest arch of space digits has"),
        (
            {"min_num_params": 500_001},
            "search.min_num_params=500001 is impossible: the dearest arch of space digits has num_params = 500000; "
            "allow at most that",
        ),
    ],
)
def test_wrong_and_impossible_limits_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        limits(settings)


def test_the_advice_of_a_refusal_can_be_followed() -> None:
    assert limits({"max_energy_mj": 0.01235}).notes == ()
    assert limits({"min_num_params": 500_000, "max_energy_mj": "100%"}).limits[1].least == 500_000


@pytest.mark.parametrize("settings", [{"max_energy_mj": "100%"}, {"max_energy_mj": 3}, {"min_num_params": 1000}])
def test_a_limit_that_excludes_nothing_is_remarked_on(settings: dict[str, Any]) -> None:
    (note,) = limits(settings).notes
    (setting,) = settings
    assert note.startswith(f"search.{setting}={settings[setting]} excludes nothing: every arch of space digits has ")


class Cheap(LayerModel):
    """Counts layers that do not multiply: two in a block, one in the head."""

    name = "cheap"
    metrics = (Metric("energy_mj", "mJ"),)

    def price(self, layer: Layer) -> dict[str, float]:
        return {"energy_mj": float(layer.arithmetic != "mult")}


def chain(settings: dict[str, Any], num_blocks: int = 12) -> Limits:
    """Limits on chains of blocks: 2 operators, then 3 each, then 5 ways to end; 590,490 for 12 blocks."""
    space = TinySpace(((8,) * num_blocks,))
    return Limits.from_settings(settings, Cheap().bind(space, 8), "chain")


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        # No block is cheap (1), but the head (1), or one block: the first in one way, 11 others in two.
        ({"max_energy_mj": 2}, "search.max_energy_mj=2 leaves 25 of 590,490 archs (0.0042 %)"),
        ({"max_energy_mj": "8%"}, "search.max_energy_mj=8% leaves 25 of 590,490 archs (0.0042 %)"),
        # All cheap: only a block that shifts can be followed by a head that does.
        ({"min_energy_mj": 25}, "search.min_energy_mj=25 leaves 1,024 of 590,490 archs (0.17 %)"),
        (
            {"min_energy_mj": 1, "max_energy_mj": 2},
            "search.min_energy_mj=1 with search.max_energy_mj=2 leaves 24 of 590,490 archs (0.0041 %)",
        ),
    ],
)
def test_limits_that_leave_few_archs_are_remarked_on(settings: dict[str, Any], note: str) -> None:
    assert chain(settings).notes == (note,)


def test_limits_that_leave_many_archs_are_not() -> None:
    assert chain({"max_energy_mj": 15}).notes == chain({"max_energy_mj": None}).notes == ()


def test_limits_between_which_there_is_no_arch_are_refused() -> None:
    message = (
        "search.min_energy_mj=1.2 with search.max_energy_mj=1.8 is impossible: no arch of space chain has energy_mj"
    )
    with pytest.raises(UserError, match=re.escape(message)):
        chain({"min_energy_mj": 1.2, "max_energy_mj": 1.8})


def test_shares_of_huge_spaces_and_of_distributions_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    assert chain({"max_energy_mj": 2}, 60).notes == ("search.max_energy_mj=2 leaves 121 of 4.71e+28 archs (2.6e-25 %)",)
    monkeypatch.setattr(distribution, "MAX_SUMS", 0)
    (note,) = chain({"max_energy_mj": 2.5}).notes
    assert note == "search.max_energy_mj=2.5 leaves about 25 of 590,490 archs (0.0042 %)"


def test_rounding_of_sums_does_not_break_a_limit() -> None:
    (limit,) = limits({"max_energy_mj": 0.3}).limits
    assert limit.allows(0.1 + 0.2)
    assert not limit.allows(0.300001)


def test_a_model_that_fails_somewhere_can_be_limited_by_numbers() -> None:
    bound = Bound(CostError("hardware cost table failed on layer x"))
    read = limits({"max_energy_mj": 1}, bound)
    assert read.limits[0].most == 1.0
    assert "failed on layer x" in read.notes[0]
    with pytest.raises(UserError, match="not known here"):
        limits({"max_energy_mj": "50%"}, bound)


def test_limits_are_told_from_other_settings() -> None:
    settings = {"population": 4, "max_energy_mj": 1, "min_num_params": None, "law": "archs"}
    assert split_limits(settings) == ({"max_energy_mj": 1, "min_num_params": None}, {"population": 4, "law": "archs"})


def arch(op: str, head: str = "linear") -> Arch:
    return SPACE.arch({"widths": (8,), "op0": op, "head": head})


def test_feasibility_keeps_the_limits_and_counts() -> None:
    feasible = Feasibility(Bound(), limits({"max_energy_mj": 1, "min_num_params": 2500}))
    assert not feasible(arch("conv"))
    assert not feasible(arch("shift"))
    assert feasible.explain() == (
        "0 of 2 samples met energy_mj <= 1 mJ and num_params >= 2500; "
        "the smallest energy_mj seen was 0.5 mJ; the greatest num_params seen was 2000"
    )
    feasible = Feasibility(Bound(), limits({"max_energy_mj": 1}))
    assert [feasible(arch(op)) for op in ("conv", "shift")] == [False, True]
    assert (feasible.num_asked, feasible.num_passed, feasible.num_failed) == (2, 1, 0)
    assert feasible.seen == {"energy_mj": (0.5, 1.5)}


def test_an_arch_that_cannot_be_priced_is_not_feasible() -> None:
    feasible = Feasibility(Bound(), Limits())
    assert feasible(arch("conv"))
    assert not feasible(arch("conv", "shift"))
    assert (feasible.num_asked, feasible.num_passed, feasible.num_failed) == (2, 1, 1)
    assert feasible.explain().startswith("1 of 2 samples could be priced; 1 failed, the last because hardware")
    assert "RuntimeError: no such head" in feasible.explain()
