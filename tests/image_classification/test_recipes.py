"""The experiments that retrain the searched networks and their baselines on ImageNet-1k: what they compose to."""

import re
import shlex
from typing import Any

import pytest
import torch

from composed import compose
from shiftaddnas.cli.app import config_folder, plain_config
from shiftaddnas.cli.archs import find_arch
from shiftaddnas.cli.build import build
from shiftaddnas.cli.model import name_and_settings
from tasks.image_classification import searched
from tasks.image_classification.layers import ImageWorkload
from tasks.image_classification.models import timm_model

FOLDER = config_folder() / "experiment" / "vision"
SEARCHED = [name.removeprefix("shiftaddnas_") for name in searched.NAMES]
BASELINES = ["resnet50", "botnet50", "deit_small", "regnety_160"]
MULTIPLICATION_FREE = {"all_add": {"add"}, "all_shift": {"shift"}, "shift_add": {"shift", "add"}}
NUM_DEVICES = 8
# Top-1, top-5 and loss at 256 pixels of the checkpoints in the README of the official repository.
PUBLISHED = {
    "t0_v3_distilled": (81.554, 95.642, 0.725),
    "t0_v4_q_distilled": (82.584, 96.156, 0.685),
    "t1_v3_q_distilled": (82.780, 96.228, 0.678),
    "t1_v4_q_distilled": (82.974, 96.364, 0.667),
}


def composed(name: str) -> dict[str, Any]:
    return plain_config(compose("train", f"experiment=vision/{name}"))


def header(name: str) -> str:
    lines = (FOLDER / f"{name}.yaml").read_text().splitlines()
    return " ".join(line.removeprefix("# ") for line in lines if line.startswith("# "))


@pytest.mark.parametrize("name", [*SEARCHED, *BASELINES, *MULTIPLICATION_FREE])
def test_a_network_of_imagenet_is_trained_by_the_recipe(name: str) -> None:
    config = composed(name)
    data, optim = config["task"]["data"], config["optim"]
    assert config["task"]["name"] == "imagenet"
    assert config["trainer"]["max_epochs"] == 300
    assert optim["optimizer"]["lr"] == pytest.approx(5e-4 * data["batch_size"] * NUM_DEVICES / 512)
    assert data["batch_size"] == (112 if name.startswith("t1") else 128)
    assert (optim["optimizer"]["weight_decay"], optim["ema_decay"], optim["interval"]) == (0.05, 0.99996, "epoch")
    assert (config["task"]["mixup"], config["task"]["cutmix"], config["task"]["label_smoothing"]) == (0.8, 1.0, 0.1)
    assert data["augmentation"]["rand_augment"] == "rand-m9-mstd0.5-inc1"


@pytest.mark.parametrize("name", BASELINES)
def test_a_baseline_takes_the_images(name: str) -> None:
    config = composed(name)
    data = config["task"]["data"]
    with torch.device("meta"):
        network = timm_model(*name_and_settings(config["model"]), ImageWorkload(data["image_size"], 3, 1000)).eval()
        for size in (data["image_size"], data["eval_size"]):
            assert network(torch.empty(1, 3, size, size)).shape == (1, 1000)


@pytest.mark.parametrize("name", SEARCHED)
def test_a_searched_network_is_of_its_name(name: str) -> None:
    config = composed(name)
    assert config["model"] == f"shiftaddnas_{name}"
    assert (config["task"]["data"]["image_size"], config["task"]["data"]["eval_size"]) == (224, 256)
    distill = config["distill"]
    assert distill == {} or (distill["alpha"], distill["teacher"]) == (0.5, "regnety_160.deit_in1k")
    assert (distill != {}) == name.endswith("_distilled")
    assert "temperature" not in distill


@pytest.mark.parametrize("name", [*SEARCHED, *BASELINES, "retraining"])
def test_the_header_says_how_to_run_it_and_what_comes_out(name: str) -> None:
    text = header(name)
    assert f"Command: python train.py experiment=vision/{name} " in text
    assert "Hardware: 8 GPUs" in text
    assert "Expected: " in text
    for command in re.findall(r"python (train\.py .*?)(?= Expected| Hardware| The checkpoint|$)", text):
        script, *overrides = shlex.split(command)
        assert compose(script.removesuffix(".py"), *overrides)
    if name in PUBLISHED:
        top1, top5, loss = PUBLISHED[name]
        assert f"top-1 {top1:.2f} % within 0.3 points, top-5 {top5:.2f} %, loss {loss}" in text


def test_the_recipe_builds() -> None:
    optimization = build(composed("t0_v3")["optim"], "optim")
    assert optimization.ema_decay == 0.99996


@pytest.mark.parametrize("name", MULTIPLICATION_FREE)
def test_the_blocks_of_a_multiplication_free_baseline_do_not_multiply(name: str) -> None:
    config = composed(name)
    space = build(config["space"], "space")
    arch = find_arch(config["arch"], space)
    layers = space.arch_layers(arch, ImageWorkload(224, 3, 1000))
    blocks = [layer for layer in layers if layer.role not in ("stem", "squeeze_excitation", "head")]
    assert {layer.arithmetic for layer in blocks} == MULTIPLICATION_FREE[name]
    assert sum(layer.role == "main" for layer in blocks) == 3 * 16


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("supernet_*.yaml")))
def test_a_released_supernet_is_trained_by_its_logs_schedule(name: str) -> None:
    optim = composed(name)["optim"]
    assert optim["scheduler"]["_target_"] == "shiftaddnas.engine.deit_cosine"
    assert (optim["optimizer"]["lr"], optim["optimizer"]["weight_decay"], optim["interval"]) == (1e-3, 0.05, "epoch")
    assert optim["ema_decay"] is None
