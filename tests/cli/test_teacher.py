"""The teacher of distill=...: by name with a file of weights, and mistakes in one line."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from composed import built, compose
from shiftaddnas.cli.app import plain_config
from shiftaddnas.cli.teacher import distillation
from shiftaddnas.engine import Distillation
from shiftaddnas.errors import UserError


def taught_by(teacher: Any, ckpt: Path | str | None = None, *overrides: str) -> Distillation:
    """As `distill=hard`, or as the overrides say, for the digits."""
    settings = plain_config(compose("train", *(overrides or ["distill=hard"])))["distill"]
    return distillation(settings | {"teacher": teacher, "ckpt": None if ckpt is None else str(ckpt)}, built("task"))


def test_a_named_teacher_has_the_weights_of_a_file(tmp_path: Path) -> None:
    network = timm.create_model("resnet10t", num_classes=10, in_chans=1, stem_width=16)
    torch.save({"model": network.state_dict()}, tmp_path / "x.pth")
    found = taught_by({"name": "resnet10t", "stem_width": 16}, tmp_path / "x.pth")
    assert (found.alpha, found.temperature) == (0.5, None)
    assert not found.teacher.training
    assert not any(parameter.requires_grad for parameter in found.teacher.parameters())
    for name, tensor in found.teacher.state_dict().items():
        assert torch.equal(tensor, network.state_dict()[name]), name


def test_soft_targets_have_a_temperature(tmp_path: Path) -> None:
    torch.save(timm.create_model("resnet10t", num_classes=10, in_chans=1).state_dict(), tmp_path / "x.pth")
    found = taught_by("resnet10t", tmp_path / "x.pth", "distill=soft", "distill.alpha=0.1")
    assert (found.alpha, found.temperature) == (0.1, 3.0)


@pytest.mark.parametrize(
    ("teacher", "ckpt", "says"),
    [
        (None, None, "distill.teacher is missing"),
        (3, None, "distill.teacher=3 is not allowed"),
        ("resnet18", None, "are for 1000 classes and 3 channels, the task has 10 and 1"),
        ("resnet_x", None, "timm has no trained weights of resnet_x, and there is no such run folder"),
        ("resnet_x", "x.pth", "model=resnet_x is no model of timm"),
        ("resnet10t", "x.pth", "checkpoint x.pth does not exist"),
        (".", "x.pth", r"distill.teacher=\. has its own weights"),
        (".", None, "is not a run folder"),
    ],
)
def test_mistakes_are_named(
    teacher: Any, ckpt: str | None, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=says):
        taught_by(teacher, ckpt)
