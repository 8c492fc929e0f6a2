"""What answers before torch is imported."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import run, succeeded


@pytest.mark.parametrize("script", ["train.py", "search.py"])
@pytest.mark.parametrize("arguments", [("--help",), ("--cfg", "job")])
def test_help_and_config_answer_at_once(script: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    times = []
    for _ in range(3):  # of a busy machine's tries the best counts
        start = time.perf_counter()
        assert "search" in succeeded(run(script, *arguments, folder=tmp_path)) or script == "train.py"
        times.append(time.perf_counter() - start)
    assert min(times) < 2
    assert not list(tmp_path.iterdir())


def test_the_command_line_imports_nothing_heavy() -> None:
    code = "import sys, shiftaddnas.cli.train, shiftaddnas.cli.search; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert not modules & {"torch", "pytorch_lightning", "wandb", "sklearn", "matplotlib", "plotly", "pymoo", "timm"}
