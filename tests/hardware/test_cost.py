import math
import pickle
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shiftaddnas.errors import UserError
from shiftaddnas.hardware import BoundCost, Cost, CostError, Layer, LayerModel, Metric, Values
from shiftaddnas.spaces import Arch, Term
from shiftaddnas.testing.hardware import check_hardware_cost
from shiftaddnas.testing.tiny_space import TinySpace

SPACE = TinySpace()
ARCHS = list(SPACE.archs())


class TapModel(LayerModel):
    """Prices taps and, by arithmetic, an amount that is not exact in binary; remembers what it was asked."""

    name = "taps"
    metrics = (Metric("taps", ""), Metric("fee", "mJ"))

    def __init__(self) -> None:
        self.asked: list[Layer] = []

    def price(self, layer: Layer) -> dict[str, float]:
        self.asked.append(layer)
        return {"fee": 0.1 if layer.arithmetic == "mult" else 0.7, "taps": layer.num_taps}


class DriftingModel(TapModel):
    def price(self, layer: Layer) -> dict[str, float]:
        return {**super().price(layer), "fee": float(len(self.asked))}


class BadModel(LayerModel):
    """Gives what it is told to give for layers that add."""

    name = "bad"
    metrics = (Metric("taps", ""), Metric("fee", "mJ"))

    def __init__(self, given: Any) -> None:
        self.given = given

    def price(self, layer: Layer) -> Mapping[str, float]:
        if layer.arithmetic != "add":
            return {"taps": 1.0, "fee": 1.0}
        if isinstance(self.given, Exception):
            raise self.given
        return self.given  # type: ignore[no-any-return]


class Predictor(BoundCost):
    def estimate(self, arch: Arch) -> Cost:
        return Cost(Values({"latency_ms": math.nan if arch["op0"] == "shift" else 2.0}))


def test_it_keeps_what_every_cost_promises() -> None:
    check_hardware_cost(TapModel(), SPACE, 8)


def test_an_arch_costs_the_sum_of_its_layers() -> None:
    arch = SPACE.arch({"widths": (8, 16), "op0": "shift", "op1": "add", "head": "linear"})
    bound = TapModel().bind(SPACE, 4)
    cost = bound.breakdown(arch)
    assert bound(arch) == Cost(cost.values)
    assert cost.values == {"taps": 432 + 384 + 1152 + 2048 + 160, "fee": pytest.approx(4 * 0.7 + 0.1, rel=1e-15)}
    assert list(cost.values) == ["taps", "fee"]
    assert [(layer.name, values["taps"]) for layer, values in cost.layers][-2:] == [("pointwise", 2048), ("head", 160)]


def test_layers_alone_cost_what_their_arch_does() -> None:
    model = TapModel()
    bound = model.bind(SPACE, 8)
    for arch in ARCHS:
        layers = SPACE.arch_layers(arch, 8)
        assert model.estimate(layers) == bound.breakdown(arch)
        assert model.estimate(layers[::-1]).values == bound(arch).values


def test_nothing_costs_nothing() -> None:
    assert TapModel().estimate([]).values == {"taps": 0.0, "fee": 0.0}


class NamingSpace(TinySpace):
    def layers(self, term: Term, workload: int) -> tuple[Layer, ...]:
        return tuple(replace(layer, name=f"{term} {layer.name}") for layer in super().layers(term, workload))


def test_each_distinct_layer_is_priced_once_whatever_its_name() -> None:
    model = TapModel()
    bound = model.bind(NamingSpace(), 8)
    bound.batch(ARCHS)
    bound.batch(ARCHS)
    bound.extremes()
    # Blocks 3-8, 8-8, 8-16 with 2, 3, 3 operators; the depthwise layers of the last two are the same. Heads of 8 and 16
    # channels with 2 operators.
    assert len(model.asked) == (2 + 3) + (2 + 3 + 3) + 2 * 2


def test_the_range_is_that_of_all_archs() -> None:
    bound = TapModel().bind(SPACE, 8)
    rows = bound.batch(ARCHS)
    assert rows.shape == (44, 2)
    for column, name in enumerate(("taps", "fee")):
        assert bound.extremes()[name] == (rows[:, column].min(), rows[:, column].max())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"taps": 1.0, "fee": math.nan}, "fee=nan"),
        ({"taps": math.inf, "fee": 1.0}, "taps=inf"),
        ({"taps": 1.0, "fee": -1.0}, "fee=-1.0"),
        ({"taps": 1.0}, "but its metrics are"),
        ({"taps": 1.0, "fee": 1.0, "area": 1.0}, "but its metrics are"),
        ({"taps": None, "fee": 1.0}, "TypeError"),
        (None, "TypeError"),
        (KeyError("no such kernel"), "KeyError: 'no such kernel'"),
    ],
)
def test_what_goes_wrong_in_a_plug_in_names_it_and_the_layer(given: Any, message: str) -> None:
    bound = BadModel(given).bind(SPACE, 8)
    adds = SPACE.arch({"widths": (8, 16), "op0": "conv", "op1": "add", "head": "linear"})
    other = SPACE.arch({"widths": (8,), "op0": "conv", "head": "linear"})
    for _ in range(2):
        with pytest.raises(CostError, match=message) as raised:
            bound(adds)
        assert str(raised.value).count("hardware cost bad") == 1
        assert "depthwise" in str(raised.value)
        assert bound(other).values == {"taps": 3.0, "fee": 3.0}
        with pytest.raises(CostError, match=message):
            bound.breakdown(adds)
    for question in (bound.extremes, lambda: bound.distribution("fee")):
        with pytest.raises(CostError, match=message):
            question()


def test_layers_without_a_price_spoil_no_other_arch_of_a_batch() -> None:
    bound = BadModel(KeyError("no such kernel")).bind(SPACE, 8)
    adds = [any(choice == "add" for _, choice in arch.decisions) for arch in ARCHS]
    for rows in (bound.batch(ARCHS), bound.batch(SPACE.coded(ARCHS))):
        assert np.isnan(rows).all(axis=1).tolist() == np.isnan(rows).any(axis=1).tolist() == adds
    prices = bound.by_term("fee")
    assert prices is not None
    assert {term.arithmetic for term, price in prices.items() if math.isinf(price)} == {"add"}  # type: ignore[attr-defined]


class OddModel(LayerModel):
    """Prices that are not exact in binary, of very different sizes."""

    name = "odd"
    metrics = (Metric("energy_mj", "mJ"), Metric("latency_ms", "ms"))

    def __init__(self, prices: list[float]) -> None:
        self.prices = prices

    def price(self, layer: Layer) -> dict[str, float]:
        first = zlib.crc32(repr((layer.arithmetic, layer.C, layer.M, layer.R)).encode())
        return {"energy_mj": self.prices[first % 7], "latency_ms": self.prices[first % 5] / 3}


@given(st.lists(st.floats(1e-9, 1e4), min_size=7, max_size=7))
def test_all_ways_to_price_an_arch_agree_to_the_last_bit(prices: list[float]) -> None:
    model = OddModel(prices)
    bound = model.bind(SPACE, 8)
    expected = [list(model.estimate(SPACE.arch_layers(arch, 8)).values.values()) for arch in ARCHS]
    assert [list(bound(arch).values.values()) for arch in ARCHS] == expected
    assert bound.batch(ARCHS).tolist() == bound.batch(SPACE.coded(ARCHS)).tolist() == expected
    for column, name in enumerate(("energy_mj", "latency_ms")):
        counts = Counter(row[column] for row in expected)
        distribution = bound.distribution(name)
        assert distribution is not None
        assert dict(zip(distribution.values, distribution.counts, strict=True)) == counts
        assert bound.extremes()[name] == (min(counts), max(counts))


def test_a_cost_that_was_used_is_still_data() -> None:
    bound = TapModel().bind(SPACE, 8)
    cost = bound.breakdown(ARCHS[0])
    assert pickle.loads(pickle.dumps(cost)) == cost
    assert pickle.loads(pickle.dumps(bound)).batch(ARCHS).tolist() == bound.batch(ARCHS).tolist()


def test_archs_of_another_space_are_refused() -> None:
    bound = TapModel().bind(TinySpace(((8,),)), 8)
    with pytest.raises(UserError, match=r"does not belong to space tiny: it has \('widths', \(8, 16\)\)"):
        bound.batch(ARCHS)
    with pytest.raises(CostError, match="does not belong to space tiny"):
        bound(ARCHS[-1])


def test_a_model_of_whole_archs_is_checked_too() -> None:
    bound = Predictor("mlp", (Metric("latency_ms", "ms", additive=False),))
    conv, shift = (SPACE.arch({"widths": (8,), "op0": op, "head": "linear"}) for op in ("conv", "shift"))
    assert bound.batch([conv, conv]).tolist() == [[2.0], [2.0]]
    assert np.array_equal(bound.batch([conv, shift]), [[2.0], [math.nan]], equal_nan=True)
    assert bound.extremes() == {}
    assert bound.distribution("latency_ms") is None
    with pytest.raises(CostError, match=f"mlp gives latency_ms=nan for arch {shift.id}"):
        bound(shift)


@given(st.dictionaries(st.text(), st.floats(allow_nan=False)))
def test_values_are_an_immutable_mapping(numbers: dict[str, float]) -> None:
    values = Values(numbers)
    assert values == numbers
    assert dict(pickle.loads(pickle.dumps(values))) == numbers
    with pytest.raises(TypeError):
        values["x"] = 1.0  # type: ignore[index]


def test_the_kit_finds_a_model_that_is_not_pure() -> None:
    with pytest.raises(AssertionError, match="taps differs when it is bound anew"):
        check_hardware_cost(DriftingModel(), SPACE, 8)


def test_costs_and_searches_start_without_torch() -> None:
    check = "import sys, shiftaddnas.hardware, shiftaddnas.search; print({'torch', 'pymoo'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", check], text=True) == "set()\n"
