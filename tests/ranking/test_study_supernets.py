"""Supernets of a study: which a name stands for, and what their schemes are called."""

import json
from pathlib import Path

import pytest
import torch

from shiftaddnas.errors import UserError
from shiftaddnas.ranking import find_supernets, scheme_names

CONFIG = {"task": {"name": "digits"}, "space": {"name": "digits"}, "sharing": {"_target_": "x"}}


def supernet(folder: Path, weight: float, seed: int | None) -> Path:
    folder.mkdir(parents=True)
    path = folder / "supernet.ckpt"
    torch.save({"state_dict": {"supernet.weight": torch.tensor(weight)}, "config": CONFIG}, path)
    if seed is not None:
        (folder / "manifest.json").write_text(json.dumps({"seed": seed}))
    return path


def test_checkpoints_run_folders_and_patterns_name_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [supernet(tmp_path / "runs" / name, seed, seed) for seed, name in enumerate(("a", "b", "c[1]"))]
    (tmp_path / "runs" / "unfinished").mkdir()
    for names in (
        [str(path) for path in paths],
        [str(path.parent) for path in paths],
        [str(tmp_path / "runs" / "*" / "supernet.ckpt")],
        [str(tmp_path / "runs" / "*")],
        [str(paths[0]), str(tmp_path / "runs" / "*")],
    ):
        found = find_supernets(names)
        assert [one.path for one in found] == paths
        assert [one.seed for one in found] == [0, 1, 2]
        assert [one.config for one in found] == [CONFIG] * 3
    monkeypatch.chdir(tmp_path)
    assert [one.path for one in find_supernets(["runs/?"])] == [
        Path("runs/a/supernet.ckpt"),
        Path("runs/b/supernet.ckpt"),
    ]
    assert len({one.digest for one in found}) == 3


def test_a_copy_is_the_same_supernet(tmp_path: Path) -> None:
    first = supernet(tmp_path / "a", 1.0, None)
    copy = tmp_path / "copy.ckpt"
    copy.write_bytes(first.read_bytes())
    (found,) = find_supernets([str(first), str(copy)])
    assert (found.path, found.seed) == (first, None)


def test_what_is_no_supernet_is_named(tmp_path: Path) -> None:
    other = tmp_path / "subnet.ckpt"
    torch.save({"state_dict": {"network.weight": torch.ones(1)}, "config": CONFIG}, other)
    for name, message in (
        (tmp_path / "none" / "*", "there is nothing of this name"),
        (tmp_path, "nothing there has a supernet.ckpt"),
        (other, "holds no supernet"),
    ):
        with pytest.raises(UserError, match=message):
            find_supernets([str(name)])


def test_schemes_of_one_name_are_told_apart_by_their_settings() -> None:
    shared, few, many = (
        {"_target_": "s"},
        {"_target_": "q", "num_bins": 8, "k": 1},
        {"_target_": "q", "num_bins": 64, "k": 1},
    )
    named = [("shared", shared), ("quantile", few), ("quantile", many), ("quantile", few)]
    assert scheme_names(named) == ["shared", "quantile num_bins=8", "quantile num_bins=64", "quantile num_bins=8"]
    assert scheme_names(named[:2]) == ["shared", "quantile"]
