"""The loss of a translation, a mean over target tokens: what networks are trained on, and how it is reported."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric, MetricCollection


def smoothed_loss(logits: Tensor, targets: Tensor, *, padding: int, smoothing: float) -> Tensor:
    """The sum over target tokens of (1 - e) (-log p_target) + e / V sum_v (-log p_v), in nats; a scalar.

    Args:
        logits: (B, T, V).
        targets: (B, T); those that are `padding` do not count.
        smoothing: e, the share of a target's weight that is spread over all V symbols.
    """
    return F.cross_entropy(
        logits.flatten(0, -2).float(),
        targets.flatten(),
        ignore_index=padding,
        reduction="sum",
        label_smoothing=smoothing,
    )


class _TokenMean(Metric):
    """Sums over target tokens, of which both metrics below are made; torchmetrics updates them once for the two."""

    full_state_update = False
    smoothed_sum: Tensor
    nll_sum: Tensor
    num_tokens: Tensor

    def __init__(self, padding: int, smoothing: float) -> None:
        super().__init__()
        self.padding = padding
        self.smoothing = smoothing
        for name in ("smoothed_sum", "nll_sum", "num_tokens"):
            self.add_state(name, torch.zeros(()), dist_reduce_fx="sum")

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Logits (B, T, V) and targets (B, T)."""
        log_probs = F.log_softmax(logits.flatten(0, -2).float(), -1)
        targets = targets.flatten()
        real = targets != self.padding
        nll_sum = F.nll_loss(log_probs, targets, ignore_index=self.padding, reduction="sum")
        spread_sum = -log_probs.mean(-1)[real].sum()
        self.smoothed_sum += (1 - self.smoothing) * nll_sum + self.smoothing * spread_sum
        self.nll_sum += nll_sum
        self.num_tokens += real.sum()


class LossBits(_TokenMean):
    """The label-smoothed loss in bits a token, as fairseq reports it."""

    def compute(self) -> Tensor:
        return self.smoothed_sum / self.num_tokens / math.log(2)


class Perplexity(_TokenMean):
    """2 to the negative log-likelihood in bits a token; smoothing has no part in it."""

    def compute(self) -> Tensor:
        return torch.exp(self.nll_sum / self.num_tokens)


def token_metrics(padding: int, smoothing: float) -> MetricCollection:
    return MetricCollection(
        {"loss_bits": LossBits(padding, smoothing), "perplexity": Perplexity(padding, smoothing)},
        compute_groups=[["loss_bits", "perplexity"]],
    )
