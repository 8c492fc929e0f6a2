"""docs/recipe.md: its commands compose, and its figures are those of the code."""

import re
import shlex
from pathlib import Path

import pytest

from composed import compose

GUIDE = (Path(__file__).parents[2] / "docs" / "recipe.md").read_text()
COMMANDS = [
    shlex.split(line) for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL) for line in block.splitlines()
]


def test_there_are_commands() -> None:
    assert len(COMMANDS) == 11


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[2:]))
def test_a_command_composes(words: list[str]) -> None:
    assert words[:2] == ["python", "train.py"]
    assert compose("train", *words[2:])


def test_every_kind_of_distillation_is_described() -> None:
    folder = Path(__file__).parents[2] / "conf" / "distill"
    for option in folder.glob("*.yaml"):
        assert option.stem == "none" or f"`distill={option.stem}`" in GUIDE
