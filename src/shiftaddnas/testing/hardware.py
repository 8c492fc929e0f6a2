"""What every hardware cost promises, as a check that its author can run in a test."""

import math
import pickle
from typing import Any, TypeVar

import numpy as np

from shiftaddnas.hardware import BoundCost, HardwareCost
from shiftaddnas.spaces import Arch, Space

W = TypeVar("W")

MAX_ENUMERATED = 2_000
"""Spaces of at most so many archs are checked against their enumeration."""
NUM_SAMPLES = 50
ROUNDING = 1e-9


def check_hardware_cost(cost: HardwareCost, space: Space[Any, W], workload: W, *, seed: int = 0) -> None:
    """Assert that a cost model is pure, deterministic and picklable, and that its numbers agree with each other.

    Takes seconds. Raises AssertionError with the promise that was broken, or a CostError where the model fails.
    """
    names = [metric.name for metric in cost.metrics]
    assert cost.name, "the cost model has no name"
    assert names, f"{cost.name} has no metrics"
    assert len(set(names)) == len(names), f"{cost.name} has two metrics of one name: {names}"
    rng = np.random.default_rng(seed)
    archs = [space.sample(rng) for _ in range(NUM_SAMPLES)]
    if space.size() <= MAX_ENUMERATED:
        archs = list(space.archs())
    bound = cost.bind(space, workload)
    assert bound.metrics == cost.metrics, f"{cost.name} has other metrics once it is bound"
    _check_repeatable(cost, bound, space, workload, archs)
    _check_breakdown(bound, space, workload, archs)
    _check_extremes(bound, space, archs)
    _check_distributions(bound, space, archs)


def _check_repeatable(
    cost: HardwareCost, bound: BoundCost, space: Space[Any, W], workload: W, archs: list[Arch]
) -> None:
    costs = [bound(arch) for arch in archs]
    rows = np.array([[given.values[metric.name] for metric in bound.metrics] for given in costs])
    assert np.array_equal(bound.batch(archs), rows), f"{cost.name}: batch() and single archs differ"
    assert np.array_equal(bound.batch(space.coded(archs)), rows), f"{cost.name}: batch() of coded archs differs"
    assert bound.batch([]).shape == (0, len(bound.metrics)), f"{cost.name}: batch([]) has a wrong shape"
    assert [bound(arch) for arch in archs] == costs, f"{cost.name} gives other costs when it is asked again"
    others = {
        "bound anew and asked in another order": cost.bind(space, workload),
        "pickled before it is bound": pickle.loads(pickle.dumps(cost)).bind(space, workload),
        "pickled after it was used": pickle.loads(pickle.dumps(bound)),
    }
    for what, other in others.items():
        assert [other(arch) for arch in reversed(archs)] == costs[::-1], f"{cost.name} differs when it is {what}"


def _check_breakdown(bound: BoundCost, space: Space[Any, W], workload: W, archs: list[Arch]) -> None:
    for arch in archs:
        cost = bound.breakdown(arch)
        assert cost.values == bound(arch).values, f"{bound.name}: breakdown() of {arch} has other values"
        if not cost.layers:
            continue
        layers = tuple(layer for layer, _ in cost.layers)
        assert layers == space.arch_layers(arch, workload), f"{bound.name} breaks down other layers than {arch} has"
        for metric in bound.metrics:
            if metric.additive and metric.name in cost.layers[0][1]:
                total = math.fsum(values[metric.name] for _, values in cost.layers)
                value = cost.values[metric.name]
                assert math.isclose(total, value, rel_tol=ROUNDING), (
                    f"{bound.name}: the layers of {arch} add up to {metric.name}={total}, not {value}"
                )


def _check_extremes(bound: BoundCost, space: Space[Any, Any], archs: list[Arch]) -> None:
    extremes = bound.extremes()
    values = bound.batch(archs)
    for column, metric in enumerate(bound.metrics):
        if metric.name not in extremes:
            continue
        low, high = extremes[metric.name]
        least, greatest = values[:, column].min(), values[:, column].max()
        if len(archs) == space.size():
            assert np.allclose((low, high), (least, greatest), rtol=ROUNDING), (
                f"{bound.name}: extremes() of {metric.name} are {low} to {high}, the archs have {least} to {greatest}"
            )
        assert low <= least * (1 + ROUNDING), f"{bound.name}: {metric.name}={least} is below extremes() {low}"
        assert high >= greatest * (1 - ROUNDING), f"{bound.name}: {metric.name}={greatest} is above extremes() {high}"


def _check_distributions(bound: BoundCost, space: Space[Any, Any], archs: list[Arch]) -> None:
    values = bound.batch(archs)
    for column, metric in enumerate(bound.metrics):
        distribution = bound.distribution(metric.name)
        if distribution is None:
            continue
        what = f"{bound.name}: distribution() of {metric.name}"
        assert math.isclose(distribution.num_archs, space.size(), rel_tol=ROUNDING), f"{what} has other archs"
        if len(archs) == space.size() and distribution.error == 0:
            different, counts = np.unique(values[:, column], return_counts=True)
            assert distribution.values.tolist() == different.tolist(), f"{what} has other values than the archs"
            assert distribution.counts.tolist() == counts.tolist(), f"{what} counts otherwise than the archs do"
