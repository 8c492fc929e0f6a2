"""Learning-rate schedules of transformers for translation, as fairseq has them.

The rate of a step depends on how many steps are done, from 0, and is a factor of the optimiser's (or of a group's own).
"""

import math
from collections.abc import Callable

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def linear_then_cosine(
    optimizer: Optimizer, *, total_steps: int, warmup: float = 0.25, floor: float = 1e-4
) -> LambdaLR:
    """From `floor` linearly to the full rate, then half a cosine back (SGDR, ICLR 2017, without restarts).

    Args:
        warmup: share of all steps in which the rate rises.
        floor: share of the full rate at both ends.
    """
    warmup_steps = _warmup_steps(warmup, total_steps)

    def factor(step: int) -> float:
        progress = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
        return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))

    return LambdaLR(optimizer, _after_rise(factor, warmup_steps, floor))


def linear_then_inverse_sqrt(
    optimizer: Optimizer, *, total_steps: int, warmup: float = 0.2, floor: float = 2e-4
) -> LambdaLR:
    """From `floor` linearly to the full rate, then down with one over the square root of the steps (NeurIPS 2017).

    Args:
        warmup: share of all steps in which the rate rises.
        floor: share of the full rate at the start.
    """
    warmup_steps = _warmup_steps(warmup, total_steps)
    return LambdaLR(optimizer, _after_rise(lambda step: math.sqrt(warmup_steps / step), warmup_steps, floor))


def _warmup_steps(warmup: float, total_steps: int) -> int:
    return max(1, round(warmup * total_steps))


def _after_rise(factor: Callable[[int], float], warmup_steps: int, floor: float) -> Callable[[int], float]:
    def whole(step: int) -> float:
        return floor + (1 - floor) * step / warmup_steps if step < warmup_steps else factor(step)

    return whole
