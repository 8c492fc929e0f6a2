"""docs/pricing.md: its commands compose, its Python runs."""

import re
import shlex
from pathlib import Path

import pytest

from composed import compose

GUIDE = (Path(__file__).parents[2] / "docs" / "pricing.md").read_text()
COMMANDS = [line for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()]


def test_there_are_commands() -> None:
    assert len(COMMANDS) == 8


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_composes(command: str) -> None:
    program, name, *overrides = shlex.split(command)
    assert (program, name) == ("shiftaddnas", "price")
    if overrides[:1] == ["-m"]:  # the first point of the sweep
        overrides = [override.split(",")[0] for override in overrides[1:]]
    assert compose("price", *overrides).seed == 0


def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    exec(compile(example, "pricing.md", "exec"), {})
    assert capsys.readouterr().out == "21600 taps ()\n"
