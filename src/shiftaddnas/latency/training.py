"""What predicts a latency from features, and how it is fitted to measurements.

HAT (ACL 2020) takes a network of four layers. With some hundred measured archs a linear fit is better, for latencies
are nearly sums; so the network is fitted to what a linear fit leaves, and starts at nothing.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from shiftaddnas.errors import UserError

VALIDATION_SHARE = 0.15
RIDGE = 1.0  # on standardised features
BATCH_SIZE = 32
MIN_FITTED, MIN_HELD_OUT = 10, 3

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Predictor:
    """A linear function of standardised features plus a network with ReLU between its layers, as arrays.

    It predicts without torch, and the same in every process.

    Args:
        feature_mean: subtracted from the features, which are then divided by
        feature_std.
        slopes: of the linear function, in milliseconds for each standardised feature.
        intercept_ms: the linear function's value at the mean of the features.
        weights: of each layer of the network, (out, in); its output is in milliseconds.
        biases: of each layer, (out,).
    """

    feature_mean: Floats
    feature_std: Floats
    slopes: Floats
    intercept_ms: float
    weights: tuple[Floats, ...]
    biases: tuple[Floats, ...]

    def __call__(self, features: Floats) -> float:
        """The latency in milliseconds, of one row of features."""
        x = (features - self.feature_mean) / self.feature_std
        y = x
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            y = weight @ (np.maximum(y, 0) if layer else y) + bias
        return self.intercept_ms + float(self.slopes @ x) + float(y[0])


@dataclass(frozen=True)
class Training:
    """How a predictor is fitted: a linear function by ridge regression, then, by AdamW, a network to what that leaves.

    The learning rate falls to nothing by a cosine. Of all epochs, and none, the one is kept that is best on archs set
    aside for that.

    Args:
        features: the name of what the predictor sees.
        hidden: widths of the hidden layers.
        held_out: share of the archs that judge the predictor and take no part in fitting it.
        num_epochs, lr, weight_decay: of AdamW.

    Raises:
        UserError: a number is out of range.
    """

    features: str
    hidden: tuple[int, ...]
    held_out: float
    num_epochs: int
    lr: float
    weight_decay: float

    def __post_init__(self) -> None:
        if not all(width >= 1 for width in self.hidden):
            raise UserError(f"predictor.hidden={list(self.hidden)} is not allowed; give widths of at least 1")
        if not 0 < self.held_out < 1:
            raise UserError(f"predictor.held_out={self.held_out} is not allowed; give a share between 0 and 1")
        if self.num_epochs < 1:
            raise UserError(f"predictor.num_epochs={self.num_epochs} is not allowed; give at least 1")
        if not self.lr > 0:
            raise UserError(f"predictor.lr={self.lr} is not allowed; give a number above 0")
        if not self.weight_decay >= 0:
            raise UserError(f"predictor.weight_decay={self.weight_decay} is not allowed; give a number of at least 0")


def held_out(num_archs: int, training: Training, rng: np.random.Generator) -> tuple[int, ...]:
    """Which of the archs judge the predictor, by index.

    Raises:
        UserError: too few are left to fit it to, or to judge it by.
    """
    num_held_out = round(training.held_out * num_archs)
    if num_held_out < MIN_HELD_OUT or num_archs - num_held_out < MIN_FITTED:
        raise UserError(
            f"num_archs={num_archs} and predictor.held_out={training.held_out} leave {num_archs - num_held_out} archs "
            f"to fit the predictor to and {num_held_out} to judge it by; at least {MIN_FITTED} and {MIN_HELD_OUT} are "
            "needed"
        )
    return tuple(sorted(map(int, rng.permutation(num_archs)[:num_held_out])))


def fit(features: Floats, latencies: Floats, training: Training, generator: torch.Generator) -> Predictor:
    """Fit a predictor to rows of features and their latencies in milliseconds, at least `MIN_FITTED` of them."""
    assert len(latencies) >= MIN_FITTED
    order = torch.randperm(len(latencies), generator=generator).numpy()
    num_validation = max(1, round(VALIDATION_SHARE * len(latencies)))
    validation, fitted = order[:num_validation], order[num_validation:]

    mean, std = features[fitted].mean(0), features[fitted].std(0)
    std[std == 0] = 1
    x = (features - mean) / std
    intercept = float(latencies[fitted].mean())
    gram = x[fitted].T @ x[fitted] + RIDGE * np.eye(x.shape[1])
    slopes = np.linalg.solve(gram, x[fitted].T @ (latencies[fitted] - intercept))
    residuals = latencies - intercept - x @ slopes

    scale = float(residuals[fitted].std()) or 1.0
    inputs, targets = torch.from_numpy(x), torch.from_numpy(residuals / scale)
    network = _network([x.shape[1], *training.hidden, 1], generator)
    parts = [(inputs[part], targets[part]) for part in (fitted, validation)]
    state = [tensor.numpy() for tensor in _trained(network, parts[0], parts[1], training, generator)]
    weights, biases = state[0::2], state[1::2]
    weights[-1], biases[-1] = scale * weights[-1], scale * biases[-1]
    return Predictor(mean, std, slopes, intercept, tuple(weights), tuple(biases))


def _network(widths: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """Linear layers with ReLU between them, the last at zero."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        # Made without values: torch would draw them from its global generator.
        linear = nn.Linear(inputs, outputs, dtype=torch.float64, device="meta").to_empty(device="cpu")
        bound = 1 / math.sqrt(inputs)
        for parameter in linear.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
        layers += [linear, nn.ReLU()]
    for parameter in layers[-2].parameters():
        nn.init.zeros_(parameter)
    return nn.Sequential(*layers[:-1])


def _trained(
    network: nn.Sequential,
    fitted: tuple[Tensor, Tensor],
    validation: tuple[Tensor, Tensor],
    training: Training,
    generator: torch.Generator,
) -> list[Tensor]:
    """Weights and biases, in turns, of the epoch with the least error on the validation part."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=training.lr, weight_decay=training.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, training.num_epochs)

    def error(part: tuple[Tensor, Tensor]) -> Tensor:
        return F.mse_loss(network(part[0]).squeeze(1), part[1])

    least, best = math.inf, list[Tensor]()
    for _ in range(training.num_epochs + 1):
        with torch.no_grad():
            now = float(error(validation))
        if now < least:
            least, best = now, [parameter.detach().clone() for parameter in network.parameters()]
        order = torch.randperm(len(fitted[0]), generator=generator)
        for start in range(0, len(order), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            optimizer.zero_grad()
            error((fitted[0][batch], fitted[1][batch])).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        schedule.step()
    return best
