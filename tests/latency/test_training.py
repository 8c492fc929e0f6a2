from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from shiftaddnas.errors import UserError
from shiftaddnas.latency import Predictor, Training, fit, held_out

TRAINING = Training(features="terms", hidden=(32, 32), held_out=0.25, num_epochs=150, lr=3e-3, weight_decay=1e-2)
NUM_FITTED = 200


def data(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features as a space has them, a sum that is linear in them, and what is not: a product of two."""
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 4, (300, 12)).astype(np.float64)
    additive = 0.5 + features @ rng.uniform(0.05, 0.5, 12)
    return features, additive, features[:, 0] * features[:, 1]


def tau_on_the_rest(latencies: np.ndarray, features: np.ndarray, training: Training) -> float:
    predictor = fit(features[:NUM_FITTED], latencies[:NUM_FITTED], training, torch.Generator().manual_seed(1))
    predicted = [predictor(row) for row in features[NUM_FITTED:]]
    return float(kendalltau(predicted, latencies[NUM_FITTED:]).statistic)


def test_an_additive_latency_is_recovered() -> None:
    features, additive, _ = data()
    assert tau_on_the_rest(additive, features, TRAINING) > 0.98


def test_an_additive_latency_is_recovered_from_noise() -> None:
    features, additive, _ = data()
    noise = np.random.default_rng(2).normal(0, 0.02, len(additive))
    predictor = fit(
        features[:NUM_FITTED], (additive * (1 + noise))[:NUM_FITTED], TRAINING, torch.Generator().manual_seed(1)
    )
    predicted = [predictor(row) for row in features[NUM_FITTED:]]
    assert kendalltau(predicted, additive[NUM_FITTED:]).statistic > 0.95


def test_the_network_learns_what_a_linear_fit_leaves() -> None:
    features, additive, product = data()
    latencies = additive + 0.3 * product
    linear = tau_on_the_rest(latencies, features, replace(TRAINING, hidden=(), num_epochs=1))
    assert tau_on_the_rest(latencies, features, TRAINING) > max(0.9, linear + 0.05)


def test_the_same_seed_gives_the_same_predictor() -> None:
    features, additive, product = data()
    first, second, other = (
        fit(features[:50], (additive + product)[:50], TRAINING, torch.Generator().manual_seed(seed))
        for seed in (3, 3, 4)
    )
    assert [first(row) for row in features] == [second(row) for row in features]
    assert [first(row) for row in features] != [other(row) for row in features]


def test_no_global_random_numbers_are_drawn() -> None:
    features, additive, _ = data()
    before = torch.get_rng_state()
    fit(features[:20], additive[:20], replace(TRAINING, num_epochs=2), torch.Generator())
    assert torch.equal(torch.get_rng_state(), before)


def test_constant_features_and_latencies_do_no_harm() -> None:
    features, _, _ = data()
    features[:, 3] = 2.0
    predictor = fit(features[:50], np.full(50, 1.5), replace(TRAINING, num_epochs=5), torch.Generator())
    assert predictor(features[60]) == pytest.approx(1.5)


def test_a_predictor_is_a_line_plus_a_network() -> None:
    predictor = Predictor(
        feature_mean=np.array([1.0, 2.0]),
        feature_std=np.array([2.0, 1.0]),
        slopes=np.array([0.5, 1.0]),
        intercept_ms=3.0,
        weights=(np.array([[1.0, 0.0], [0.0, -1.0]]), np.array([[2.0, 4.0]])),
        biases=(np.array([0.0, 1.0]), np.array([0.25])),
    )
    # x = (2, 3): line 3 + 1 + 3; hidden (2, -3 + 1) after ReLU (2, 0), output 4 + 0.25
    assert predictor(np.array([5.0, 5.0])) == 3.0 + 1.0 + 3.0 + 4.25


def test_archs_are_held_out_at_random() -> None:
    chosen = held_out(40, TRAINING, np.random.default_rng(0))
    assert len(chosen) == len(set(chosen)) == 10
    assert set(chosen) <= set(range(40))
    assert chosen == held_out(40, TRAINING, np.random.default_rng(0))
    assert chosen != held_out(40, TRAINING, np.random.default_rng(1))


@pytest.mark.parametrize(("num_archs", "share"), [(12, 0.25), (100, 0.95), (100, 0.01)])
def test_too_few_archs_are_refused(num_archs: int, share: float) -> None:
    with pytest.raises(UserError, match=f"num_archs={num_archs} and predictor.held_out={share} leave"):
        held_out(num_archs, replace(TRAINING, held_out=share), np.random.default_rng(0))


@pytest.mark.parametrize(
    "setting", [{"hidden": (0,)}, {"held_out": 1.0}, {"num_epochs": 0}, {"lr": 0.0}, {"weight_decay": -1.0}]
)
def test_a_setting_out_of_range_is_refused(setting: dict[str, object]) -> None:
    with pytest.raises(UserError, match=f"predictor.{next(iter(setting))}="):
        replace(TRAINING, **setting)  # type: ignore[arg-type]
