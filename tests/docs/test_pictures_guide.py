"""docs/pictures.md: its commands compose, its Python runs, its numbers are those of the formulas."""

import math
import re
import shlex
from pathlib import Path

import pytest
import torch

from composed import compose

GUIDE = (Path(__file__).parents[2] / "docs" / "pictures.md").read_text()
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()]


def test_there_are_commands() -> None:
    assert len(COMMANDS) == 5


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_composes(command: str) -> None:
    program, name, *overrides = shlex.split(command)
    assert (program, name) == ("shiftaddnas", "draw")
    settings = compose("draw", *overrides)
    assert (settings.run is None) != (settings.arch is None)


def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    torch.manual_seed(0)
    exec(compile(example, "pictures.md", "exec"), {})
    conv, add = capsys.readouterr().out.splitlines()
    assert conv.startswith("conv 1728 ")
    # A fresh adder is Gaussian; more weights than are read of one kernel.
    assert add == f"add {64 * 64 * 9 // 2} Gaussian"


def test_the_likelihoods_are_those_of_the_formulas() -> None:
    gaussian = -0.5 * math.log(2 * math.pi * math.e)
    on_laplacian = -math.log(2 * math.e * math.sqrt(0.5))
    on_gaussian = -math.log(2 * math.e * math.sqrt(2 / math.pi))
    for value in (gaussian, on_laplacian, on_gaussian):
        assert f"{value:.3f}" in GUIDE
