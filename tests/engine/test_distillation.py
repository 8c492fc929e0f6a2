"""Distillation against its formulas, worked by hand for two classes."""

from math import exp, log
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from shiftaddnas.engine import Distillation, Output
from shiftaddnas.errors import UserError
from tasks.image_classification import DigitsData, ImageClassification

# Odds of 3 to 1 and of 1 to 4: of the probabilities, the student's are 3/4 and 1/4, the teacher's 1/5 and 4/5.
STUDENT = torch.tensor([[log(3.0), 0.0]])
TEACHER = torch.tensor([[0.0, log(4.0)]])


class Says(nn.Module):
    """Gives the same logits for all images; a second head in training; notes what it is given."""

    def __init__(self, *heads: Tensor) -> None:
        super().__init__()
        self.heads = [nn.Parameter(head.clone()) for head in heads]
        self.seen: list[tuple[Tensor, bool]] = []

    def forward(self, images: Tensor) -> Any:
        self.seen.append((images, self.training))
        logits = tuple(head.expand(len(images), -1) for head in self.heads)
        if len(logits) == 1 or not self.training:
            return torch.stack(logits).mean(0)
        return logits


def test_hard_is_the_cross_entropy_with_the_teachers_class() -> None:
    # The teacher decides for class 1, of which the student thinks 1/4.
    distance = Distillation(nn.Identity()).distance(STUDENT, TEACHER)
    assert float(distance) == pytest.approx(log(4), rel=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_soft_is_the_divergence_times_the_squared_temperature(temperature: float) -> None:
    p = exp(log(3.0) / temperature) / (1 + exp(log(3.0) / temperature))
    q = 1 / (1 + exp(log(4.0) / temperature))
    divergence = q * log(q / p) + (1 - q) * log((1 - q) / (1 - p))
    distillation = Distillation(nn.Identity(), temperature=temperature)
    # Averaged over samples: a second one on which both agree counts as nothing.
    agreed = torch.zeros(1, 2)
    distance = distillation.distance(torch.cat([STUDENT, agreed]), torch.cat([TEACHER, agreed]))
    assert float(distance) == pytest.approx(temperature**2 * divergence / 2, rel=1e-5)


def test_two_heads_learn_from_one_each() -> None:
    first, second = Output(torch.tensor(10.0), torch.zeros(1, 2)), Output(torch.tensor(99.0), STUDENT)
    output = Output(torch.tensor(50.0), STUDENT, (first, second))
    assert float(Distillation(nn.Identity(), alpha=0.3).loss(output, TEACHER)) == pytest.approx(7 + 0.3 * log(4))


def test_a_single_head_learns_from_both() -> None:
    output = Output(torch.tensor(10.0), STUDENT)
    assert float(Distillation(nn.Identity(), alpha=0.3).loss(output, TEACHER)) == pytest.approx(7 + 0.3 * log(4))


def test_on_a_task_with_mixed_targets_and_a_teacher_that_is_left_alone() -> None:
    task = ImageClassification("digits", DigitsData(batch_size=8, seed=0))
    student, teacher = Says(STUDENT, torch.zeros(1, 2)), Says(TEACHER)
    distillation = Distillation(teacher.train())
    batch = (torch.rand(4, 1, 8, 8), torch.tensor([[0.6, 0.4]]).expand(4, 2))
    logits = distillation.teacher_logits(task, batch)
    loss = distillation.loss(task.step(student, batch), logits)
    # Half the first head's cross-entropy with the shares, half the second's, even odds, with the teacher's class.
    assert loss.item() == pytest.approx(0.5 * (0.6 * log(4 / 3) + 0.4 * log(4)) + 0.5 * log(2), rel=1e-6)
    ((images, training),) = teacher.seen
    assert images is batch[0]
    assert not training
    assert not logits.requires_grad


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"alpha": 1.5}, r"distill.alpha=1.5; allowed"), ({"temperature": 0.0}, r"distill.temperature=0.0; allowed")],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], says: str) -> None:
    with pytest.raises(UserError, match=says):
        Distillation(nn.Identity(), **settings)


def test_a_teacher_of_other_classes_is_refused() -> None:
    with pytest.raises(UserError, match="gives 3 classes, the network 2"):
        Distillation(nn.Identity()).loss(Output(torch.zeros(()), STUDENT), torch.zeros(1, 3))


def test_a_teacher_of_other_images_is_refused() -> None:
    teacher = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    task = ImageClassification("digits", DigitsData(batch_size=8, seed=0))
    batch = (torch.rand(4, 1, 8, 8), torch.zeros(4, dtype=torch.long))
    with pytest.raises(UserError, match=r"distill\.teacher fails on the task's inputs .*3 channels") as caught:
        Distillation(teacher).teacher_logits(task, batch)
    assert "\n" not in str(caught.value)
