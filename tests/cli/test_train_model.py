"""`train.py model=...` on the digits: networks of timm in the same harness as archs."""

import json
from pathlib import Path

import pytest
import timm
from commands import failed_in_one_line, only_run, run, succeeded

pytestmark = pytest.mark.slow
SMALL = ("debug=fast", "logger.mode=disabled")
VIT = "model={name:vit_tiny_patch16_224,img_size:8,patch_size:4,depth:2,drop_path_rate:0.1}"


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
    assert "holds another network" in other


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
    assert says in failed_in_one_line(run("train.py", *arguments, *SMALL, folder=tmp_path))
    assert not list(tmp_path.glob("runs/digits/*/results.json"))
