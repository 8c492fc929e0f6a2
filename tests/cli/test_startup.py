"""What answers before torch is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run, succeeded


@pytest.mark.parametrize("script", ["train.py", "search.py"])
@pytest.mark.parametrize("arguments", [("--help",), ("--cfg", "job")])
def test_help_and_config_answer_at_once(script: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    before = os.times()
    printed = succeeded(run(script, *arguments, folder=tmp_path))
    after = os.times()
    assert "digits" in printed
    # Of the processor, not of the clock: other tests run beside this one.
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    assert seconds < 2
    assert not list(tmp_path.iterdir())


def test_the_command_line_imports_nothing_heavy() -> None:
    code = "import sys, shiftaddnas.cli.train, shiftaddnas.cli.search; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert not modules & {"torch", "pytorch_lightning", "wandb", "sklearn", "matplotlib", "plotly", "pymoo", "timm"}
