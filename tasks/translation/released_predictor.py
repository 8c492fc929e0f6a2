"""Latency predictors of HAT (ACL 2020) and ShiftAddNAS (ICML 2022), from the weights that were released.

They are networks with ReLU over the features of features.py, which they divide by fixed numbers, and give latency as a
share of a fixed one.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from shiftaddnas.errors import UserError
from shiftaddnas.latency.training import Predictor

FEATURE_NORMS: dict[str, tuple[int, ...]] = {
    "v2": (640, 6, 2048, 6, 640, 6, 2048, 6, 6, 2),
    "v3": (1024, 6, 4096, 6, 1024, 6, 4096, 6, 6, 2),
    "en_fr": (1024, 6, 4096, 6, 1024, 6, 3072, 6, 6, 2),
}
"""What the first ten features are divided by, by the space of the predictor; v2 is also that of v1 and HAT."""
LATENCY_NORMS_MS: dict[str, float] = {"gpu": 200.0, "xeon": 300.0, "raspberry_pi": 5000.0}
"""Latency where the network gives 1, by the machine that was measured."""


def released_predictor(state: Mapping[str, ArrayLike], *, space: str, machine: str) -> Predictor:
    """The predictor of a released checkpoint.

    Args:
        state: its arrays, by the names `first_layer`, `layers.0` and so on, `predict`, with `.weight` or `.bias`.
        space: one of `FEATURE_NORMS`.
        machine: one of `LATENCY_NORMS_MS`.

    Raises:
        UserError: an array is missing, or a name is unknown.
    """
    for setting, value, allowed in (("space", space, FEATURE_NORMS), ("machine", machine, LATENCY_NORMS_MS)):
        if value not in allowed:
            raise UserError(f"{setting}={value} is unknown; allowed: {', '.join(allowed)}")
    hidden = sorted(
        int(name.split(".")[1]) for name in state if name.startswith("layers.") and name.endswith(".weight")
    )
    names = ["first_layer", *(f"layers.{number}" for number in hidden), "predict"]
    if missing := [f"{name}.{part}" for name in names for part in ("weight", "bias") if f"{name}.{part}" not in state]:
        raise UserError(f"the checkpoint lacks {missing[0]}; it is no released latency predictor")
    weights, biases = (
        [np.asarray(state[f"{name}.{part}"], dtype=np.float64) for name in names] for part in ("weight", "bias")
    )
    scale = LATENCY_NORMS_MS[machine]
    weights[-1], biases[-1] = scale * weights[-1], scale * biases[-1]
    num_features = weights[0].shape[1]
    norm = np.ones(num_features)
    norm[: len(FEATURE_NORMS[space])] = FEATURE_NORMS[space]
    zeros = np.zeros(num_features)
    return Predictor(zeros, norm, zeros, 0.0, tuple(weights), tuple(biases))
