"""`train.py model=...` on the digits: networks of timm in the same harness as archs, averaged and distilled."""

import argparse
import json
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from commands import command, environment, failed_in_one_line, only_run, run, run_forked, succeeded

from tasks.image_classification import DigitsData

pytestmark = pytest.mark.slow
SMALL = ("debug=fast", "logger.mode=disabled")
VIT = "model={name:vit_tiny_patch16_224,img_size:8,patch_size:4,depth:2,drop_path_rate:0.1}"


AVERAGED = ("model=resnet10t", "optim.ema_decay=0.5", *SMALL)


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a network whose weights were averaged."""
    folder = tmp_path_factory.mktemp("averaged")
    printed = succeeded(run("train.py", *AVERAGED, folder=folder))
    assert re.search(r"^model +resnet10t *$", printed, re.MULTILINE)
    assert re.search(r"^test accuracy, EMA +[\d.]+ % *$", printed, re.MULTILINE)
    return only_run(folder)


def results(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())
    return found


def test_a_model_of_timm_is_trained_tested_priced_and_gone_on_from(tmp_path: Path) -> None:
    printed = succeeded(run("train.py", "model=resnet10t", *SMALL, folder=tmp_path))
    assert "Training of a model" in printed
    folder = only_run(tmp_path)
    found = json.loads((folder / "results.json").read_text())
    expected = timm.create_model("resnet10t", num_classes=10, in_chans=1)
    num_params = sum(parameter.numel() for parameter in expected.parameters())
    assert found["model"] == "resnet10t"
    assert found["num_params"] == found["costs"]["num_params"] == num_params
    assert 0 <= found["test"]["accuracy"] <= 1
    checkpoint = folder / "subnet.ckpt"
    succeeded(run("train.py", "model=resnet10t", f"ckpt={checkpoint}", *SMALL, folder=tmp_path))
    other = failed_in_one_line(run("train.py", "model=resnet18", f"ckpt={checkpoint}", *SMALL, folder=tmp_path))
    assert re.search(r"holds another network than is asked for: of its tensors \d+ missing \(", other)


def test_settings_of_a_model_reach_it(tmp_path: Path) -> None:
    succeeded(run("train.py", VIT, *SMALL, folder=tmp_path))
    found = json.loads((only_run(tmp_path) / "results.json").read_text())
    expected = timm.create_model("vit_tiny_patch16_224", num_classes=10, in_chans=1, img_size=8, patch_size=4, depth=2)
    assert found["num_params"] == sum(parameter.numel() for parameter in expected.parameters())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("model=resnet18", "arch=digits_mixed"), "arch= and model= are both given"),
        (("model=resnet_eighteen",), "is no model of timm"),
        (("model={name:resnet18,num_classes:3}",), "model.num_classes=3 is not allowed"),
        (("model={name:resnet18,nonsense:3}",), "cannot be built"),
        (("model=vit_tiny_patch16_224",), "fails on inputs of [1, 1, 8, 8]"),
        (("model=3",), "model=3 is not allowed"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    assert says in failed_in_one_line(run_forked("train.py", *arguments, *SMALL, folder=tmp_path))
    assert not list(tmp_path.glob("runs/digits/*/results.json"))


def test_no_epochs_test_the_weights_of_a_run_and_their_average(averaged: Path, tmp_path: Path) -> None:
    no_training = ("trainer.max_epochs=0", f"ckpt={averaged / 'subnet.ckpt'}")
    succeeded(run("train.py", *AVERAGED, *no_training, folder=tmp_path))
    test = results(only_run(tmp_path))["test"]
    assert test == results(averaged)["test"]
    assert test["loss"] != test["loss_ema"]


def test_weights_of_others_are_tested(tmp_path: Path) -> None:
    network = timm.create_model("resnet10t", num_classes=10, in_chans=1)
    with torch.no_grad():
        next(network.parameters()).mul_(3)
    torch.save({"model": network.state_dict(), "args": argparse.Namespace(lr=1.0), "epoch": 299}, tmp_path / "x.pth")
    arguments = ("model=resnet10t", "ckpt=x.pth", "trainer.max_epochs=0", *SMALL)
    succeeded(run("train.py", *arguments, folder=tmp_path))
    data = DigitsData(64, 0)
    data.setup("test")
    ((images, labels),) = data.test_dataloader()
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(network.eval()(images), labels)
    assert results(only_run(tmp_path))["test"]["loss"] == pytest.approx(float(loss), rel=1e-4)


@pytest.mark.parametrize("weights", ["raw", "ema"])
def test_the_network_is_exported_by_its_name(averaged: Path, tmp_path: Path, weights: str) -> None:
    arguments = (f"run={averaged}", f"weights={weights}", "format=program", f"output={tmp_path / 'network.pt2'}")
    printed = succeeded(run("shiftaddnas", "export", *arguments, folder=tmp_path))
    assert re.search(r"^network +resnet10t$", printed, re.MULTILINE)
    accuracy = results(averaged)["test"]["accuracy" if weights == "raw" else "accuracy_ema"]
    assert re.search(rf"^test accuracy +{100 * accuracy:.2f} %$", printed, re.MULTILINE)


def test_a_searched_network_with_two_heads_learns_from_a_run(averaged: Path, tmp_path: Path) -> None:
    taught = ("distill=hard", f"distill.teacher={averaged}")
    arguments = ("model=shiftaddnas_t0_v4_q_distilled", *taught, *SMALL, "trainer.limit_train_batches=1")
    succeeded(run("train.py", *arguments, folder=tmp_path))
    assert 0 <= results(only_run(tmp_path))["test"]["accuracy"] <= 1


def test_a_killed_training_ends_as_the_uninterrupted_one(averaged: Path, tmp_path: Path) -> None:
    arguments = (
        "arch=digits_mixed", "optim=deit", "optim.ema_decay=0.9", "distill=soft", "distill.teacher=resnet10t",
        f"distill.ckpt={averaged / 'subnet.ckpt'}", "trainer.max_epochs=8", "trainer.limit_train_batches=5",
        "trainer.accumulate_grad_batches=2", "logger.mode=disabled",
    )  # fmt: skip
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
    succeeded(run("train.py", *arguments, folder=tmp_path / "whole"))
    kill_when_there_is_a_checkpoint(arguments, tmp_path / "killed")
    assert not list(tmp_path.glob("killed/**/results.json"))
    succeeded(run("train.py", *arguments, folder=tmp_path / "killed"))
    whole, killed = only_run(tmp_path / "whole"), only_run(tmp_path / "killed")
    assert results(killed)["test"] == results(whole)["test"]
    assert "accuracy_ema" in results(whole)["test"]
    assert (killed / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()


def kill_when_there_is_a_checkpoint(arguments: tuple[str, ...], folder: Path) -> None:
    process = subprocess.Popen(
        command("train.py", *arguments), cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    deadline = time.monotonic() + 200
    while not list(folder.glob("runs/digits/*/resume/subnet.ckpt")):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("model=resnet10t", "distill=hard"), "distill.teacher is missing"),
        (("distill=hard", "distill.teacher=resnet10t"), "distill= is for one network"),
        (("model=resnet10t", "distill.teacher=resnet18"), "distill.teacher is not a setting"),
        (("optim.layer_decay=0.5",), "HybridSupernet does not say what its layers are"),
        (("model=resnet10t", "ckpt=none.pth"), "checkpoint none.pth does not exist"),
    ],
)
def test_mistakes_in_a_recipe_are_one_line(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    assert says in failed_in_one_line(run_forked("train.py", *arguments, *SMALL, folder=tmp_path))
    assert not list(tmp_path.glob("runs/digits/*/results.json"))
