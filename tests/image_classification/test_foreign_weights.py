"""Weight files of others, told from this framework's own, are read into timm's networks and the searched ones."""

import argparse
from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from shiftaddnas.errors import UserError
from tasks.image_classification import DigitsData, ImageClassification
from tasks.image_classification.searched import SearchedNet, stages_of


def small() -> nn.Module:
    return timm.create_model("resnet10t", num_classes=3)


def load(network: nn.Module, path: Path) -> bool:
    return ImageClassification("digits", DigitsData(batch_size=8, seed=0)).load_foreign_weights(network, path)


@pytest.mark.parametrize("form", ["DeiT", "timm's training", "tensors alone", "of DistributedDataParallel"])
def test_weights_of_a_network_of_timm_are_found(form: str, tmp_path: Path) -> None:
    source, network = small(), small()
    state = source.state_dict()
    content = {
        "DeiT": {"model": state, "args": argparse.Namespace(lr=0.1)},
        "timm's training": {"state_dict": state, "epoch": 3},
        "tensors alone": state,
        "of DistributedDataParallel": {"model": {f"module.{name}": tensor for name, tensor in state.items()}},
    }[form]
    torch.save(content, tmp_path / "x.pth")
    assert load(network, tmp_path / "x.pth")
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, state[name]), name


def test_a_released_file_is_converted(tmp_path: Path) -> None:
    # The released names of the stem and of both heads; all others are those of test_searched.py.
    renamed = {"stem.0.": "conv1.", "stem.1.": "bn1.", "head.": "fc.", "head_distilled.": "dist_head."}
    stages = stages_of([[1], [1], [0], [1]])
    source, network = SearchedNet(stages, distilled=True), SearchedNet(stages, distilled=True)
    released = {}
    for name, tensor in source.state_dict().items():
        prefix = next((prefix for prefix in renamed if name.startswith(prefix)), "")
        released[renamed.get(prefix, "") + name.removeprefix(prefix)] = tensor
    torch.save({"model": released, "args": argparse.Namespace(lr=0.1), "epoch": 299}, tmp_path / "x.pth")
    assert load(network, tmp_path / "x.pth")
    assert torch.equal(network.get_parameter("stem.0.weight"), source.get_parameter("stem.0.weight"))
    assert torch.equal(network.get_parameter("head_distilled.bias"), source.get_parameter("head_distilled.bias"))


def test_an_own_checkpoint_is_not_one(tmp_path: Path) -> None:
    torch.save({"state_dict": {"network.a": torch.zeros(1)}, "pytorch-lightning_version": "2.6.0"}, tmp_path / "x.ckpt")
    assert not load(small(), tmp_path / "x.ckpt")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"model": {"conv1.weight": torch.zeros(1)}}, "is of another network"),
        ({"epoch": 3, "loss": 0.5}, "holds no weights but epoch, loss"),
        ([1, 2], "holds no weights but list"),
        ({1: torch.zeros(1)}, "holds no weights but 1"),
        ({"model": {}, "args": argparse.Namespace(output=Path("x"))}, "holds more than weights, .*: it was not loaded"),
    ],
)
def test_other_files_are_refused(content: object, says: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(UserError, match=says):
        load(small(), tmp_path / "x.pth")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 this was one"])
def test_damaged_files_are_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(UserError, match=r"^\S+x\.pth is truncated or no weight file of torch$"):
        load(small(), tmp_path / "x.pth")
