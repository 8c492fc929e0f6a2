"""Which operators a supernet trains when.

Hybrid supernets do not converge when convolutions, adders and shifts start together, for their weights differ in
distribution and speed; a curriculum mends it (NASA, ICCAD 2022: convolutions first, then adders, then all).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from shiftaddnas.errors import UserError


@dataclass(frozen=True)
class Stage:
    """Part of the training, up to the share `until` of its epochs.

    `operators` are trained (None: all); a decision that offers none of them keeps its own. What `freeze` names computes
    but does not learn.
    """

    until: float
    operators: tuple[str, ...] | None = None
    freeze: tuple[str, ...] = ()


class OperatorSchedule:
    """Stages one after another; the last ends with the training.

    Raises:
        UserError: the ends do not rise to 1.
    """

    def __init__(self, stages: Sequence[Stage] = (Stage(1.0),)) -> None:
        ends = [stage.until for stage in stages]
        if not ends or ends[-1] != 1 or any(a >= b for a, b in zip([0.0, *ends], ends, strict=False)):
            raise UserError(
                f"schedule.stages end at {ends} of the training; `until` must rise from stage to stage up to 1"
            )
        self.stages = tuple(stages)

    def stage(self, epoch: int, num_epochs: int) -> Stage:
        """The stage of an epoch, counted from 0."""
        # Rounded: 0.28 * 25 is a little above 7.
        return next((stage for stage in self.stages if epoch < round(stage.until * num_epochs, 6)), self.stages[-1])
