"""The README's commands and code: what it tells to type works."""

import re
import shlex
from pathlib import Path

import pytest

from composed import compose

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BASH = [line for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
STARTS = ("python train.py", "python search.py", "shiftaddnas ")
COMMANDS = [shlex.split(line, comments=True) for line in BASH if line.startswith(STARTS)]


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 8
    assert len(BASH) == len(COMMANDS) + 2


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[1:]))
def test_a_command_composes(words: list[str]) -> None:
    name = words[1].removesuffix(".py")
    overrides = [word for word in words[2:] if word != "-m" and not word.startswith("hydra")]
    if "-m" in words:  # the first point of the sweep
        overrides = [override.split(",")[0] for override in overrides]
    assert compose(name, *overrides)


def test_the_install_commands_are_those_of_the_continuous_check() -> None:
    checked = (ROOT / ".ci" / "run").read_text()
    assert '-e ".[dev]" -c constraints.txt' in checked
    assert any(line == 'pip install -e ".[dev]" -c constraints.txt && pytest' for line in BASH)
    assert any("pip install -e . -c constraints.txt && python search.py" in line for line in BASH)


def test_every_dependency_is_in_the_tested_set() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    named = [*project["dependencies"], *extras["export"], *extras["dev"]]
    names = {re.split(r"[<>=\[]", requirement)[0].lower().replace("_", "-") for requirement in named}
    names -= {"shiftaddnas"}  # an extra may ask for another
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    assert names <= pinned


def test_the_python_example_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "torch.Size([2, 16, 8, 8])" in printed
    assert "162 archs" in printed
    assert "torch.Size([1, 10])" in printed


def test_the_table_of_groups_names_every_option() -> None:
    for group in ("task", "space", "sharing", "sampling", "schedule", "hardware", "search"):
        (row,) = re.findall(rf"^\| `{group}` \|.*$", README, re.MULTILINE)
        for option in (ROOT / "conf" / group).glob("*.yaml"):
            assert f"`{option.stem}`" in row, f"{group}={option.stem} is not in the README's table"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).is_file(), target
