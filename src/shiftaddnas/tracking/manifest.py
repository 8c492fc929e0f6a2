"""Where a run came from: code, versions, command, machine. Gathered without importing any of the packages it names."""

import importlib.metadata
import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

PACKAGES = (
    "shiftaddnas",
    "torch",
    "torchvision",
    "pytorch-lightning",
    "torchmetrics",
    "hydra-core",
    "omegaconf",
    "numpy",
    "scipy",
    "scikit-learn",
    "pymoo",
    "timm",
    "fairseq",
    "sacrebleu",
    "wandb",
)


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def command_line(argv: Sequence[str]) -> str:
    """The command that repeats this process, quoted for a shell. An installed command may have one of its own behind it
    in argv[0], as in "shiftaddnas search".
    """
    script, *rest = argv
    program = ["python", script] if script.endswith(".py") else Path(script).name.split()
    return shlex.join([*program, *rest])


def git_state(folder: Path) -> dict[str, Any] | None:
    """Revision of the checkout that holds `folder`, and whether tracked files differ from it.

    None where the code is not under version control, also when it is installed inside an unrelated checkout.
    """

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()

    try:
        if not git("ls-files", "--", "."):
            return None
        return {"revision": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None


def versions() -> dict[str, str]:
    """Python and the installed ones of `PACKAGES`."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _field(path: Path, name: str) -> str | None:
    """The value of the first `name : value` line of a file of the kernel."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), None)


def hardware() -> dict[str, Any]:
    """CPU, usable and present cores, memory, and GPUs by name.

    GPUs are read from the kernel's driver files, because asking torch would start CUDA in this process, after which
    it could no longer be forked.
    """
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    drivers = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    return {
        "cpu": _field(Path("/proc/cpuinfo"), "model name") or platform.processor() or platform.machine(),
        "num_cores": os.cpu_count(),
        "num_usable_cores": usable,
        "memory_bytes": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        "gpus": [model for file in drivers if (model := _field(file, "Model"))],
        "os": platform.platform(),
    }


def session(argv: Sequence[str]) -> dict[str, Any]:
    """One process that works on a run: the first one, or one that resumes it."""
    return {
        "date": now(),
        "argv": list(argv),
        "command": command_line(argv),
        "git": git_state(Path(__file__).parent),
        "versions": versions(),
        "hardware": hardware(),
    }
