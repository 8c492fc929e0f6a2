"""Trainings and searches in two processes, started by Lightning and by torchrun."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from commands import environment, run, succeeded

from shiftaddnas.search import read_records

pytestmark = pytest.mark.slow

TWO = ("trainer.devices=2", "trainer.accelerator=cpu", "trainer.strategy=ddp_find_unused_parameters_true")


@pytest.fixture(scope="module")
def supernet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A supernet that `shiftaddnas train` has trained in two processes, of which Lightning starts the second."""
    folder = tmp_path_factory.mktemp("trained")
    printed = succeeded(run("shiftaddnas", "train", "debug=fast", *TWO, "hydra.run.dir=run", folder=folder))
    assert printed.count("run folder") == 1
    return folder / "run" / "supernet.ckpt"


def test_of_processes_that_torchrun_starts_one_searches(supernet: Path, tmp_path: Path) -> None:
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    settings = ["debug=fast", *TWO, f"ckpt={supernet}", "hydra.run.dir=run"]
    command = [*torchrun, "-m", "shiftaddnas", "search", *settings]

    def search() -> list[str]:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=240, check=False
        )
        printed = succeeded(done)
        assert printed.count("run folder") == 1
        return (tmp_path / "run" / "search.jsonl").read_text().splitlines()

    lines = search()
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert len(read_records(tmp_path / "run" / "search.jsonl")) == len(lines) == results["evaluated"]
    assert len((tmp_path / "run" / "search_times.jsonl").read_text().splitlines()) == len(lines)

    # As if they had been killed in the middle of the search.
    for path in ("results.json", "best/subnet.ckpt"):
        (tmp_path / "run" / path).unlink()
    (tmp_path / "run" / "search.jsonl").write_text(f"{lines[0]}\n{lines[1][:50]}")
    assert search() == lines
