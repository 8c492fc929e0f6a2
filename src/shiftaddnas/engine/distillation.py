"""Learning from a teacher: its decisions (hard), or its class probabilities (soft)."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shiftaddnas.engine.task import Output, Task
from shiftaddnas.errors import UserError


class Distillation:
    """A teacher, and how much a network learns from it.

    Of a network with two heads the first learns from the targets and the second from the teacher; a single head learns
    from both.

    Args:
        teacher: a trained network for the same classes; it is set to evaluation mode.
        alpha: the teacher's share of the loss.
        temperature: None: the class that the teacher decides for is the target (DeiT, ICML 2021). A number: the
            teacher's probabilities are, both networks' logits being divided by it (Hinton et al., 2015).

    Raises:
        UserError: a setting is out of its range.
    """

    def __init__(self, teacher: nn.Module, *, alpha: float = 0.5, temperature: float | None = None) -> None:
        if not 0 <= alpha <= 1:
            raise UserError(f"distill.alpha={alpha}; allowed are shares from 0 to 1")
        if temperature is not None and temperature <= 0:
            raise UserError(f"distill.temperature={temperature}; allowed are numbers above 0, or null for hard targets")
        self.teacher = teacher.eval().requires_grad_(False)
        self.alpha = alpha
        self.temperature = temperature

    @torch.no_grad()
    def teacher_logits(self, task: Task, batch: Any) -> Tensor:
        """What the teacher says of a batch, as the network sees it, (N, classes) for its N samples.

        Raises:
            UserError: the teacher is for other inputs.
        """
        try:
            return task.step(self.teacher, batch).valid_logits
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a network says of an input that it cannot take
            reason = " ".join(str(error).split())
            raise UserError(
                f"distill.teacher fails on the task's inputs ({type(error).__name__}: {reason}); give a teacher that "
                "was trained on the same task"
            ) from error

    def loss(self, output: Output, teacher_logits: Tensor) -> Tensor:
        """(1 - alpha) task loss + alpha distance to the teacher.

        Raises:
            UserError: the teacher has other classes.
        """
        targeted, taught = output.heads or (output, output)
        logits = taught.valid_logits
        if logits.shape != teacher_logits.shape:
            raise UserError(
                f"distill.teacher gives {teacher_logits.shape[-1]} classes, the network {logits.shape[-1]}; "
                "give a teacher that was trained on the same task"
            )
        return (1 - self.alpha) * targeted.loss + self.alpha * self.distance(logits, teacher_logits)

    def distance(self, logits: Tensor, teacher_logits: Tensor) -> Tensor:
        """Of logits (N, classes) from the teacher's, a mean over the samples.

        Hard: the cross-entropy with the teacher's class. Soft: the Kullback-Leibler divergence from the teacher's
        probabilities at the temperature T, times T^2, which keeps the gradient's scale whatever T is.
        """
        if self.temperature is None:
            return F.cross_entropy(logits, teacher_logits.argmax(-1))
        log_student, log_teacher = (F.log_softmax(one / self.temperature, -1) for one in (logits, teacher_logits))
        divergence = F.kl_div(log_student, log_teacher, reduction="batchmean", log_target=True)
        return divergence * self.temperature**2
