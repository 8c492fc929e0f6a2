"""Running the real commands, as a user does: in a process of their own, from an empty folder."""

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["shiftaddnas.cli.training", "shiftaddnas.search.callback", "tasks.image_classification"])


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


def run_forked(script: str, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The same, forked from a process that has imported the libraries already: for the many mistakes that end soon."""
    with tempfile.TemporaryDirectory() as outputs:
        files = [Path(outputs, name) for name in ("stdout", "stderr")]
        process = FORKS.Process(target=_run_here, args=(script, arguments, folder, *files))
        process.start()
        process.join(240)
        process.kill()
        process.join()
        assert process.exitcode is not None
        return subprocess.CompletedProcess(arguments, process.exitcode, *(file.read_text() for file in files))


def _run_here(script: str, arguments: tuple[str, ...], folder: Path, stdout: Path, stderr: Path) -> None:
    for number, file in ((1, stdout), (2, stderr)):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.environ.update(environment())
    os.chdir(folder)
    sys.path[0] = str(ROOT) if script.endswith(".py") else str(folder)
    sys.argv[1:] = arguments
    if script.endswith(".py"):
        sys.argv[0] = str(ROOT / script)
        runpy.run_path(sys.argv[0], run_name="__main__")
    else:
        runpy.run_module(script, run_name="__main__", alter_sys=True)


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
