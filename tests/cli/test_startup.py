"""What answers before torch is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import failed_in_one_line, run, succeeded

from shiftaddnas.__main__ import COMMANDS

STARTS = [("train.py",), ("search.py",), *(("shiftaddnas", name) for name in COMMANDS)]


@pytest.mark.parametrize("start", STARTS, ids=" ".join)
@pytest.mark.parametrize("arguments", [("--help",), ("--cfg", "job")])
def test_help_and_config_answer_at_once(start: tuple[str, ...], arguments: tuple[str, ...], tmp_path: Path) -> None:
    before = os.times()
    printed = succeeded(run(*start, *arguments, folder=tmp_path))
    after = os.times()
    assert "digits" in printed or "run: " in printed
    # Of the processor, not of the clock: other tests run beside this one.
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    assert seconds < 2
    assert not list(tmp_path.iterdir())


def test_the_command_line_imports_nothing_heavy() -> None:
    imports = ", ".join(f"shiftaddnas.cli.{name}" for name in COMMANDS)
    code = f"import sys, {imports}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stdout.split())
    assert not modules & {"torch", "pytorch_lightning", "wandb", "sklearn", "matplotlib", "plotly", "pymoo", "timm"}


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_the_commands_are_listed(arguments: tuple[str, ...], tmp_path: Path) -> None:
    printed = succeeded(run("shiftaddnas", *arguments, folder=tmp_path))
    for name, what in COMMANDS.items():
        assert f"  {name} " in printed
        assert what in printed


def test_a_command_names_itself_in_its_usage(tmp_path: Path) -> None:
    done = run("shiftaddnas", "train", "--no-such-option", folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("usage: shiftaddnas train ")


def test_an_unknown_command_is_named_in_one_line(tmp_path: Path) -> None:
    line = failed_in_one_line(run("shiftaddnas", "serch", folder=tmp_path))
    assert line == f"error: serch is no command; there are: {', '.join(COMMANDS)}"


def test_a_mistake_behind_a_command_is_named_in_one_line(tmp_path: Path) -> None:
    assert "did you mean seed?" in failed_in_one_line(run("shiftaddnas", "train", "sed=3", folder=tmp_path))
