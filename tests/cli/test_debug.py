"""debug=overfit leaves the images of every image task alone, so that batches can be learnt by heart."""

from pathlib import Path

import pytest

from composed import compose
from shiftaddnas.cli.app import config_folder, plain_config
from shiftaddnas.cli.build import build
from tasks.image_classification import DigitsData, ImageClassification, ImageData


def is_of_images(option: str) -> bool:
    root = ["task.data.root=images"] if option == "image_folder" else []
    task = plain_config(compose("train", f"task={option}", *root))["task"]
    return bool(task["_target_"] == "tasks.image_classification.ImageClassification")


OPTIONS = sorted(filter(is_of_images, (path.stem for path in (config_folder() / "task").glob("*.yaml"))))


def test_there_are_image_tasks() -> None:
    assert {"digits", "fashion_mnist", "cifar10", "imagenet"} <= set(OPTIONS)


@pytest.mark.parametrize("root", ["train", "search"])
@pytest.mark.parametrize("option", OPTIONS)
def test_overfitting_changes_no_image(option: str, root: str, tmp_path: Path) -> None:
    data = [] if option == "digits" else [f"task.data.root={tmp_path}"]
    task = build(plain_config(compose(root, f"task={option}", "debug=overfit", *data))["task"], "task")
    assert isinstance(task, ImageClassification)
    assert (task.label_smoothing, task.max_shift, task.mixup, task.cutmix) == (0, 0, 0, 0)
    if isinstance(task.data, ImageData):
        assert task.data.augmentation is None
    else:
        assert isinstance(task.data, DigitsData)  # which augments nothing by itself
