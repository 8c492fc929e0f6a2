"""`python train.py task=image_folder` as a user runs it, with the whole augmentation and worker processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from image_files import write_folder

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow


def train(folder: Path, *options: str) -> "subprocess.Popen[str]":
    settings = ["image_size=8", "in_channels=1", "crop_share=1.0", "batch_size=32", f"root={folder.parent / 'images'}"]
    arguments = [
        "task=image_folder",
        *(f"task.data.{setting}" for setting in settings),
        "arch=digits_mixed",
        "debug=fast",
        "trainer.max_epochs=4",
        "hydra.run.dir=run",
        *options,
    ]
    folder.mkdir(exist_ok=True)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "XDG_CACHE_HOME": str(folder.parent / "cache")}
    return subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def ended(process: "subprocess.Popen[str]") -> int:
    out, err = process.communicate(timeout=200)
    assert process.returncode in (0, -signal.SIGKILL), out + err
    return process.returncode


def test_a_killed_training_on_a_folder_ends_as_the_uninterrupted_one(tmp_path: Path) -> None:
    write_folder(tmp_path / "images", range(400))
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert ended(train(whole, "task.data.num_workers=0")) == 0

    process = train(killed)
    deadline = time.monotonic() + 200
    while not list(killed.glob("run/resume/*.ckpt")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert ended(process) == -signal.SIGKILL, "it ended before it could be killed"
    assert not (killed / "run" / "results.json").exists()
    assert ended(train(killed)) == 0

    assert (killed / "run" / "metrics.csv").read_text() == (whole / "run" / "metrics.csv").read_text()
    found = [json.loads((folder / "run" / "results.json").read_text()) for folder in (whole, killed)]
    assert found[0]["test"] == found[1]["test"]


def test_missing_images_are_one_line(tmp_path: Path) -> None:
    process = train(tmp_path / "none")
    _, err = process.communicate(timeout=200)
    assert process.returncode == 1
    assert err.startswith("error: task.data.root=")
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "none" / "run").exists()
