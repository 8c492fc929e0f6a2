import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from latency_lab import ARCHS, SPACE

from shiftaddnas.errors import UserError
from shiftaddnas.hardware import OpEnergy
from shiftaddnas.hardware.latency_table import Timing
from shiftaddnas.latency import (
    FEATURES,
    LatencyPredictor,
    PredictorFile,
    Study,
    Training,
    features_of,
    fingerprint,
    fit_study,
    load_predictor,
    save_predictor,
    write_figure,
)
from shiftaddnas.latency.accuracy import accuracy
from shiftaddnas.testing.hardware import check_hardware_cost
from shiftaddnas.testing.tiny_space import TinySpace

COST = OpEnergy(
    "asic",
    {"mult": 3.7, "add": 0.9, "shift": 0.13},
    lanes={"mult": 16, "add": 32, "shift": 64},
    clock_mhz=250,
).bind(SPACE, 8)
LATENCIES = [COST(arch).values["latency_ms"] for arch in ARCHS]
TRAINING = Training(features="terms", hidden=(16,), held_out=0.25, num_epochs=50, lr=3e-3, weight_decay=1e-2)


def study() -> Study:
    held_out = tuple(range(0, len(ARCHS), 4))
    timings = tuple(Timing(latency, 0.01 * latency, 5) for latency in LATENCIES)
    return Study(tuple(ARCHS), timings, held_out, tuple(timings[index] for index in held_out))


def content(features: str = "terms") -> PredictorFile:
    training = Training(**{**vars(TRAINING), "features": features})
    fit = fit_study(study(), SPACE, training, torch.Generator().manual_seed(0))
    return PredictorFile(
        space=SPACE.name,
        fingerprint=fingerprint(SPACE, 8),
        batch_size=1,
        machine={"cpu": "abacus"},
        features=features,
        columns=fit.columns,
        predictor=fit.predictor,
        accuracy=fit.accuracy,
        date="2026-11-24",
    )


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("latency") / "tiny.pt"
    save_predictor(path, content())
    return path


def test_it_keeps_what_every_cost_promises(file: Path) -> None:
    check_hardware_cost(LatencyPredictor("abacus", str(file)), SPACE, 8)


def test_an_additive_latency_of_a_space_is_recovered(file: Path) -> None:
    bound = LatencyPredictor("abacus", str(file)).bind(SPACE, 8)
    held_out = list(study().held_out)
    predicted = bound.batch(ARCHS)[held_out, 0]
    judged = accuracy(list(predicted), [LATENCIES[index] for index in held_out], [0.0] * len(held_out))
    assert judged.kendall_tau > 0.95
    assert load_predictor(file).accuracy.kendall_tau == judged.kendall_tau
    assert load_predictor(file).accuracy.retest_tau == 1.0


@pytest.mark.parametrize("features", ["terms", "decisions"])
def test_a_file_is_data_and_holds_everything(tmp_path: Path, features: str) -> None:
    written = content(features)
    save_predictor(tmp_path / "p.pt", written)
    plain = torch.load(tmp_path / "p.pt", weights_only=True)
    assert plain["columns"] == features_of(features, SPACE, "x").columns
    read = load_predictor(tmp_path / "p.pt")
    for name in ("space", "fingerprint", "batch_size", "machine", "features", "columns", "accuracy", "date"):
        assert getattr(read, name) == getattr(written, name), name
    rows = [features_of(features, SPACE, "x")(arch) for arch in ARCHS]
    assert [read.predictor(row) for row in rows] == [written.predictor(row) for row in rows]


def test_another_space_or_workload_is_refused(file: Path) -> None:
    cost = LatencyPredictor("abacus", str(file))
    named = TinySpace()
    named.name = "other"
    with pytest.raises(UserError, match="predicts archs of space tiny, not of other; run `shiftaddnas latency`"):
        cost.bind(named, 8)
    for space, workload in ((SPACE, 16), (TinySpace(widths=((8,), (8, 32))), 8)):
        with pytest.raises(UserError, match=f"{file} was measured with other layers in space tiny"):
            cost.bind(space, workload)


def test_features_that_are_not_there_are_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FEATURES, "own", FEATURES["terms"])
    save_predictor(path := file.with_name("own.pt"), content("own"))
    assert LatencyPredictor("abacus", str(path)).bind(SPACE, 8)(ARCHS[0]).values["latency_ms"] > 0
    monkeypatch.delitem(FEATURES, "own")
    with pytest.raises(UserError, match="there are no features own; allowed: terms, decisions"):
        LatencyPredictor("abacus", str(path)).bind(SPACE, 8)


def test_a_damaged_file_is_named_in_one_line(file: Path) -> None:
    whole, damaged = file.read_bytes(), file.with_name("damaged.pt")
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        damaged.write_bytes(whole[:size])
        with pytest.raises(UserError, match=r"damaged\.pt is damaged or no predictor") as raised:
            load_predictor(damaged)
        assert "\n" not in str(raised.value)
    torch.save({"state_dict": {}}, damaged)
    with pytest.raises(UserError, match="not a latency predictor"):
        load_predictor(damaged)
    damaged.write_bytes(pickle.dumps(print, protocol=2))
    with pytest.raises(UserError, match="damaged or no predictor"):
        load_predictor(damaged)
    with pytest.raises(UserError, match=r"none\.pt does not exist; `shiftaddnas latency` makes one"):
        load_predictor(file.with_name("none.pt"))


def test_no_latency_is_below_nothing(tmp_path: Path) -> None:
    low = content()
    object.__setattr__(low.predictor, "intercept_ms", -100.0)
    save_predictor(tmp_path / "low.pt", low)
    assert LatencyPredictor("abacus", str(tmp_path / "low.pt")).bind(SPACE, 8)(ARCHS[0]).values["latency_ms"] == 0.0


def test_accuracy_is_what_its_name_says() -> None:
    found = accuracy([1.1, 2.0, 2.7], [1.0, 2.0, 3.0], [1.0, 3.0, 2.0])
    assert found.num_archs == 3
    assert found.rmse_ms == pytest.approx(np.sqrt((0.01 + 0.09) / 3))
    assert found.mapd_percent == pytest.approx(100 * (0.1 + 0.1) / 3)
    assert found.kendall_tau == 1.0
    assert found.retest_tau == pytest.approx(1 / 3)  # two of three pairs agree


def test_the_figure_is_drawn(tmp_path: Path) -> None:
    points = [(timing, latency) for timing, latency in zip(study().timings, LATENCIES, strict=True)]
    write_figure(tmp_path / "f.png", "title", points[:30], points[30:], content().accuracy)
    assert (tmp_path / "f.png").read_bytes().startswith(b"\x89PNG")
