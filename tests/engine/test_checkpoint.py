"""Checkpoints are data: what is damaged, missing or more than data is refused in one line."""

from pathlib import Path

import pytest
import torch
from torch import nn

from shiftaddnas.engine.checkpoint import load_checkpoint, network_state, state_difference
from shiftaddnas.errors import UserError


class Surprise:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code of a checkpoint has run",)


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        load_checkpoint(tmp_path / "none.ckpt")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.95])
def test_truncated(tmp_path: Path, share: float) -> None:
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {"net.w": torch.zeros(100, 100)}}, path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(UserError, match=r"x\.ckpt"):
        load_checkpoint(path)


@pytest.mark.parametrize("content", [b"a: 1\n", b"epoch,step\n0,1\n", b"\x80\x02}q\x00(", b"]", b"0", bytes(100)])
def test_another_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.ckpt"):
        load_checkpoint(path)


def test_code_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.ckpt"
    torch.save({"state_dict": {}, "surprise": Surprise()}, path)
    with pytest.raises(UserError, match="more than data"):
        load_checkpoint(path)
    assert "has run" not in capsys.readouterr().out


def test_something_else(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    torch.save([1, 2], path)
    with pytest.raises(UserError, match="no state_dict"):
        load_checkpoint(path)


def test_network_state_is_what_the_attribute_holds() -> None:
    checkpoint = {"state_dict": {"supernet.a": torch.ones(1), "metric.b": torch.zeros(1)}}
    assert list(network_state(checkpoint, "supernet")) == ["a"]


def test_a_state_of_another_network_is_told_by_its_tensors() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1, bias=False))
    assert state_difference(network, network.state_dict()) is None
    other = {"0.weight": torch.zeros(3, 4), "0.bias": torch.zeros(3), "head": torch.zeros(1)}
    assert state_difference(network, other) == (
        "of its tensors 1 missing (1.weight), 1 unknown (head), 1 of another shape (0.weight)"
    )
