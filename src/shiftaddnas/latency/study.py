"""From measured networks to a predictor and its accuracy: some networks are held out, and measured twice."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from shiftaddnas.hardware.latency_table import Timing
from shiftaddnas.latency.accuracy import Accuracy, accuracy
from shiftaddnas.latency.collecting import Networks, measure
from shiftaddnas.latency.features import features_of
from shiftaddnas.latency.measurements import Measurements
from shiftaddnas.latency.timing import Protocol
from shiftaddnas.latency.training import Predictor, Training, fit
from shiftaddnas.spaces import Arch, Space


@dataclass(frozen=True)
class Study:
    """Measured archs.

    Args:
        timings: of each arch.
        held_out: the indices of those that judge a predictor and take no part in fitting it.
        again: the timings of these, measured a second time after all others.
    """

    archs: tuple[Arch, ...]
    timings: tuple[Timing, ...]
    held_out: tuple[int, ...]
    again: tuple[Timing, ...]

    @property
    def fitted(self) -> tuple[int, ...]:
        """The indices of the other archs."""
        return tuple(sorted(set(range(len(self.archs))) - set(self.held_out)))


@dataclass(frozen=True)
class Fit:
    """A predictor of the archs of a study, the names of its features, what it says of each arch, and its accuracy."""

    predictor: Predictor
    columns: tuple[str, ...]
    predicted_ms: tuple[float, ...]
    accuracy: Accuracy


def measure_study(
    archs: Sequence[Arch],
    held_out: Sequence[int],
    networks: Networks,
    measurements: Measurements,
    protocol: Protocol,
    *,
    on_round: Callable[[], None] = lambda: None,
) -> Study:
    """Measure all archs, and then, at another time, those held out again.

    Args:
        on_round: called (archs + held out) x rounds times.
    """
    timings = measure(archs, networks, measurements, protocol, on_round=on_round)
    judges = [archs[index] for index in held_out]
    again = measure(judges, networks, measurements, protocol, phase="retest", on_round=on_round)
    return Study(tuple(archs), tuple(timings), tuple(held_out), tuple(again))


def fit_study(study: Study, space: Space[Any, Any], training: Training, generator: torch.Generator) -> Fit:
    """Fit a predictor to the archs that are not held out, and judge it by the others.

    Raises:
        UserError: there are no features of the name that `training` gives.
    """
    features = features_of(training.features, space, f"predictor.features={training.features}")
    rows = np.array([features(arch) for arch in study.archs])
    measured = np.array([timing.latency_ms for timing in study.timings])
    fitted, judges = list(study.fitted), list(study.held_out)
    predictor = fit(rows[fitted], measured[fitted], training, generator)
    predicted = np.array([predictor(row) for row in rows])
    again = [timing.latency_ms for timing in study.again]
    judged = accuracy(list(predicted[judges]), list(measured[judges]), again)
    return Fit(predictor, features.columns, tuple(map(float, predicted)), judged)
