"""`shiftaddnas export` as a user calls it: the three files, what is printed, and mistakes in one line."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from commands import environment, failed_in_one_line, only_run, run, run_forked, succeeded

from shiftaddnas.export import IntegerNetwork, OnnxNetwork
from tasks.image_classification import DigitsData

TRAIN = ("arch=digits_mixed", "debug=fast")


def export(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shiftaddnas", "export", *arguments],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a network trained in a moment."""
    folder = tmp_path_factory.mktemp("trained")
    succeeded(run("train.py", *TRAIN, folder=folder))
    return only_run(folder)


def rows(printed: str) -> dict[str, str]:
    """The printed table, by the titles of its rows."""
    return dict(re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in printed.strip().splitlines())  # type: ignore[misc]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "file"), [("onnx", "subnet.onnx"), ("program", "subnet.pt2")])
def test_a_model_lies_beside_the_checkpoint_and_agrees(trained: Path, kind: str, file: str) -> None:
    table = rows(succeeded(export(f"run={trained}", f"format={kind}", folder=trained.parent)))
    assert table["file"] == str(trained / file)
    assert table["test samples"] == "360"
    assert table["same top-1 class"] == "100.00 %"
    assert float(table["largest logit difference"]) < 1e-4
    test = json.loads((trained / "results.json").read_text())["test"]["accuracy"]
    assert table["test accuracy"] == table["test accuracy in float32"] == f"{100 * test:.2f} %"


@pytest.mark.slow
def test_a_network_in_integers_agrees(trained: Path, tmp_path: Path) -> None:
    output = tmp_path / "network.pt"
    table = rows(succeeded(export(f"run={trained}", "format=integer", f"output={output}", folder=tmp_path)))
    assert table["file"] == str(output)
    assert float(table["same top-1 class"].removesuffix(" %")) > 99
    assert "5 bits each" in table["shift weights"]
    assert "16 bits each" in table["adder weights"]
    data = DigitsData(64, 0)
    data.setup("test")
    ((images, labels),) = data.test_dataloader()
    accuracy = (IntegerNetwork.load(output)(images).argmax(1) == labels).float().mean()
    assert table["test accuracy"] == f"{100 * float(accuracy):.2f} %"


@pytest.mark.slow
def test_a_checkpoint_with_its_arch_beside_it_is_enough(trained: Path, tmp_path: Path) -> None:
    for name in ("subnet.ckpt", "arch.yaml"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    succeeded(export(f"run={tmp_path / 'subnet.ckpt'}", folder=tmp_path))
    assert OnnxNetwork(tmp_path / "subnet.onnx")(torch.zeros(3, 1, 8, 8)).shape == (3, 10)
    assert {path.name for path in tmp_path.iterdir()} == {"subnet.ckpt", "arch.yaml", "subnet.onnx"}


@pytest.mark.slow
def test_the_run_stays_what_it_is(trained: Path) -> None:
    succeeded(export(f"run={trained}", "format=integer", folder=trained.parents[2]))
    printed = succeeded(run("train.py", *TRAIN, folder=trained.parents[2]))
    assert "finished" in printed
    assert only_run(trained.parents[2]) == trained


MISTAKES = {
    "no run": ([], "run= is missing"),
    "unknown format": (["run=unfinished", "format=onyx"], "format=onyx is unknown; it is onnx, program, integer"),
    "unknown weights": (["run=unfinished", "weights=best"], "weights=best is unknown; they are raw, ema"),
    "no average": (["run=network/subnet.ckpt", "weights=ema"], "has no ema weights"),
    "misspelt setting": (["rum=unfinished"], "did you mean run?"),
    "missing folder": (["run=none"], "none does not exist; give a run folder"),
    "not a run folder": (["run=empty"], "empty is not a run folder"),
    "unfinished run": (["run=unfinished"], "go on with it: python train.py arch=digits_mixed"),
    "a supernet's run": (["run=supernet"], "shiftaddnas train ckpt=supernet/supernet.ckpt arch=FILE"),
    "a checkpoint alone": (["run=alone.ckpt"], "alone.ckpt has no arch.yaml beside it"),
    "a supernet's checkpoint": (["run=both/supernet.ckpt"], "holds no single network"),
    "output is a folder": (["run=network/subnet.ckpt", "output=empty"], "output=empty is a folder"),
    "output in a file": (["run=network/subnet.ckpt", "output=alone.ckpt/a"], "output=alone.ckpt/a cannot be written"),
    "another arch's weights": (["run=network/subnet.ckpt"], "holds another network than is asked for"),
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders and files as other commands leave them, without what they trained."""
    folder = tmp_path_factory.mktemp("runs")
    manifest = json.dumps({"config_hash": "0", "command": "python train.py arch=digits_mixed"})
    for name in ("empty", "unfinished", "supernet", "both", "network"):
        (folder / name).mkdir()
    for name in ("unfinished", "supernet"):
        (folder / name / "manifest.json").write_text(manifest)
    (folder / "supernet" / "results.json").write_text("{}")
    (folder / "supernet" / "supernet.ckpt").touch()
    conf = Path(__file__).parents[2] / "conf"
    task = yaml.safe_load((conf / "task/digits.yaml").read_text().replace("${seed}", "0"))
    space = yaml.safe_load((conf / "space/digits.yaml").read_text())
    config = {"task": task, "space": space}
    torch.save({"state_dict": {"supernet.a": torch.zeros(1)}, "config": config}, folder / "both/supernet.ckpt")
    for path in ("network/subnet.ckpt", "alone.ckpt"):
        torch.save({"state_dict": {"network.a": torch.zeros(1)}, "config": config}, folder / path)
    for name in ("both", "network"):
        (folder / name / "arch.yaml").write_bytes((conf / "archs/digits_mixed.yaml").read_bytes())
    return folder


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_in_one_line(mistake: str, runs: Path) -> None:
    before = sorted(runs.rglob("*"))
    arguments, message = MISTAKES[mistake]
    assert message in failed_in_one_line(run_forked("shiftaddnas", "export", *arguments, folder=runs))
    assert sorted(runs.rglob("*")) == before


def test_a_missing_extra_is_named(runs: Path, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "onnxruntime.py").write_text("raise ModuleNotFoundError('gone', name='onnxruntime')\n")
    done = subprocess.run(
        [sys.executable, "-m", "shiftaddnas", "export", f"run={trained}"],
        cwd=runs,
        env=environment() | {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert 'onnxruntime, which is not installed: pip install "shiftaddnas[export]"' in failed_in_one_line(done)
