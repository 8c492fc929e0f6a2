"""Compiling the kernels: the cache, several processes at once, damaged files, machines without a compiler."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shiftaddnas.ops.native import UnavailableError, compiler

SUM = """
import logging
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
import torch
from shiftaddnas.ops import adder_conv2d
for _ in range(2):
    y = adder_conv2d(torch.ones(2, 8, 4, 4), torch.zeros(8, 8, 3, 3))
print(y.sum().item())
"""
EXPECTED = str(-2.0 * 8 * 4 * 72)


def started(**environment: str) -> subprocess.Popen[str]:
    env = {k: v for k, v in os.environ.items() if k not in ("CC", "SHIFTADDNAS_ADDER")} | environment
    command = [sys.executable, "-c", SUM]
    return subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finished(process: subprocess.Popen[str]) -> list[str]:
    """What a process logged; its sum is checked."""
    output, log = process.communicate(timeout=120)
    assert process.returncode == 0, log
    assert output.split() == [EXPECTED]
    return [line for line in log.splitlines() if "adder layers" in line]


def test_processes_that_compile_at_once_leave_one_whole_library(tmp_path: Path) -> None:
    logs = [finished(process) for process in [started(XDG_CACHE_HOME=str(tmp_path)) for _ in range(2)]]
    assert logs == [["INFO adder layers on the CPU are computed by compiled kernels"]] * 2
    (library,) = (tmp_path / "shiftaddnas").iterdir()
    assert library.stem.endswith(compiler._digest(library.read_bytes()))


def test_without_a_compiler_pytorch_computes_and_says_so_once(tmp_path: Path) -> None:
    (line,) = finished(started(XDG_CACHE_HOME=str(tmp_path), PATH=str(tmp_path)))
    assert line.startswith("WARNING adder layers on the CPU are computed by PyTorch")
    assert "install gcc or clang" in line


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "shiftaddnas"


def test_a_library_is_compiled_once(cache: Path) -> None:
    compiler.compiled_library()
    (library,) = cache.iterdir()
    written = library.stat().st_mtime_ns
    assert compiler.compiled_library().adder_outputs
    assert [path.stat().st_mtime_ns for path in cache.iterdir()] == [written]


def test_a_damaged_library_is_compiled_again(cache: Path) -> None:
    compiler.compiled_library()
    (library,) = cache.iterdir()
    whole = library.read_bytes()
    # Another file of the name: this process has the whole one mapped.
    library.unlink()
    library.write_bytes(whole[: len(whole) // 2])
    assert compiler.compiled_library().adder_outputs
    assert library.read_bytes() == whole


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(occupied))
    assert compiler.compiled_library().adder_outputs
    assert occupied.read_text() == "not a folder"


def test_another_compiler_or_source_is_another_library(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {compiler._key(["cc"]), compiler._key(["cc", "-g"])}
    monkeypatch.setattr(compiler, "_FLAGS", (*compiler._FLAGS, "-O2"))
    assert len(keys | {compiler._key(["cc"])}) == 3


@pytest.mark.parametrize(
    ("cc", "message"),
    [("no-such-cc", "CC=no-such-cc is not there; install gcc"), ("false", "`false --version ...` failed")],
)
def test_a_compiler_that_does_not_work_is_named(cc: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", cc)
    with pytest.raises(UnavailableError, match=message):
        compiler.compiled_library()
