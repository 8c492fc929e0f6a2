import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import shiftaddnas.latency
from shiftaddnas.errors import UserError
from shiftaddnas.hardware import OpEnergy
from shiftaddnas.latency import FEATURES, features_of, fingerprint
from shiftaddnas.testing.tiny_space import TinySpace
from tasks.image_classification import HybridSpace

GUIDE = Path(__file__).parents[2] / "docs" / "latency.md"
SPACE = TinySpace()
ARCHS = list(SPACE.archs())
COST = OpEnergy(
    "asic",
    {"mult": 3.7, "add": 0.9, "shift": 0.13},
    lanes={"mult": 168, "add": 168, "shift": 168},
    clock_mhz=250,
)


def test_decisions_are_one_hot_in_the_order_of_the_graph() -> None:
    features = features_of("decisions", SPACE, "x")
    assert features.columns == (
        *("widths=(8,)", "widths=(8, 16)", "widths=(8, 8, 16)"),
        *("op0=conv", "op0=shift"),
        *("op1=conv", "op1=add", "op1=shift"),
        *("op2=conv", "op2=add", "op2=shift"),
        *("head=linear", "head=shift"),
    )
    arch = SPACE.arch({"widths": (8, 16), "op0": "shift", "op1": "add", "head": "linear"})
    taken = {name for name, value in zip(features.columns, features(arch), strict=True) if value}
    assert taken == {"widths=(8, 16)", "op0=shift", "op1=add", "head=linear"}
    assert all(features(arch).sum() == len(arch.decisions) for arch in ARCHS)


def test_terms_are_counted() -> None:
    features = features_of("terms", SPACE, "x")
    assert len(features.columns) == len(SPACE.all_terms())
    for arch in ARCHS:
        counts = Counter(map(repr, SPACE.terms(arch)))
        assert dict(zip(features.columns, features(arch), strict=True)) == {
            name: counts[name] for name in features.columns
        }


@pytest.mark.parametrize("name", ["terms", "decisions"])
def test_different_archs_have_different_features(name: str, digits_space: HybridSpace) -> None:
    features = features_of(name, SPACE, "x")
    rows = {tuple(features(arch)) for arch in ARCHS}
    # Terms do not tell in which order equal layers stand.
    assert len(rows) == len(ARCHS) if name == "decisions" else len(rows) > len(ARCHS) / 2


def test_an_additive_cost_is_linear_in_the_terms(digits_space: HybridSpace) -> None:
    features = features_of("terms", SPACE, "x")
    rows = np.array([features(arch) for arch in ARCHS])
    costs = COST.bind(SPACE, 8).batch(ARCHS)[:, 0]
    solution, *_ = np.linalg.lstsq(rows, costs, rcond=None)
    np.testing.assert_allclose(rows @ solution, costs, rtol=1e-9)


def test_columns_are_the_same_for_an_equal_space() -> None:
    for name in ("terms", "decisions"):
        assert features_of(name, SPACE, "x").columns == features_of(name, TinySpace(), "x").columns


def test_unknown_features_are_refused() -> None:
    with pytest.raises(UserError, match=r"predictor\.features=hat.*allowed: terms, decisions"):
        features_of("hat", SPACE, "predictor.features=hat")


def test_features_of_ones_own_are_added_as_the_guide_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shiftaddnas.latency, "FEATURES", dict(FEATURES))
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(example, "latency.md", "exec"), names)
    features = names["FEATURES"]["operators"](SPACE)
    assert features.columns == ("add", "conv", "linear", "shift")
    arch = SPACE.arch({"widths": (8, 16), "op0": "shift", "op1": "shift", "head": "linear"})
    assert features(arch).tolist() == [0, 0, 1, 2]


def test_a_fingerprint_tells_spaces_and_workloads_apart() -> None:
    marks = [fingerprint(SPACE, 8), fingerprint(SPACE, 4), fingerprint(TinySpace(widths=((8,), (8, 32))), 8)]
    assert len(set(marks)) == 3
    assert marks[0] == fingerprint(TinySpace(), 8)
