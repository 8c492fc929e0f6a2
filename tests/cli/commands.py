"""Running the real commands, as a user does: in a process of their own, from an empty folder."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def command(script: str, *arguments: str) -> list[str]:
    """A script of the checkout, or a module."""
    program = [str(ROOT / script)] if script.endswith(".py") else ["-m", script]
    return [sys.executable, *program, *arguments]


def environment() -> dict[str, str]:
    # Two threads or one give other roundings; one is what every machine has.
    return os.environ | {"OMP_NUM_THREADS": "1", "COLUMNS": "100"}


def run(script: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(script, *arguments), cwd=folder, env=environment(), capture_output=True, text=True, timeout=240
    )


def succeeded(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def failed_in_one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def only_run(folder: Path) -> Path:
    (found,) = (path for path in (folder / "runs" / "digits").iterdir() if path.is_dir())
    return found
