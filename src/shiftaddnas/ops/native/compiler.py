"""Compiles the C kernels with the system's compiler, once per source, flags, compiler and CPU.

The shared object is kept in the user's cache folder under a name that holds the hash of its own content, so that a
damaged file is noticed before it is loaded. It is small: compiling takes about a second.
"""

import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

from shiftaddnas.files import write_atomically

_SOURCES = Path(__file__).parent
# Not -ffast-math: its start-up code switches the whole process to flushing denormals to zero.
_FLAGS = ("-std=gnu11", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")


class UnavailableError(Exception):
    """The kernels cannot be compiled or loaded here; the message says why and what to do."""


def compiled_library() -> ctypes.CDLL:
    """The library of the kernels, from the cache or freshly compiled.

    Several processes may do this at once. Where the cache folder cannot be written, the library is compiled for this
    process only.

    Raises:
        UnavailableError: there is no C compiler, or it fails.
    """
    compiler = _compiler()
    stem = f"adder-{_key(compiler)}-"
    for path in sorted(_cache_folder().glob(f"{stem}*.so")):
        if path.stem == stem + _digest(path.read_bytes()):
            return _load(path)
    with tempfile.TemporaryDirectory(prefix="shiftaddnas-") as folder:
        fresh = Path(folder, "adder.so")
        _run([*compiler, *_FLAGS, str(_SOURCES / "adder.c"), "-o", str(fresh)])
        content = fresh.read_bytes()
        kept = _cache_folder() / f"{stem}{_digest(content)}.so"
        try:
            write_atomically(kept, content)
        except OSError:
            return _load(fresh)
        return _load(kept)


def _compiler() -> list[str]:
    try:
        named = shlex.split(os.environ.get("CC", ""))
    except ValueError as error:
        raise UnavailableError(f"CC={os.environ['CC']} is no command ({error}); set CC to a C compiler") from None
    for command in [named] if named else [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(command[0]):
            return command
    missing = f"CC={named[0]} is not there" if named else "there is no C compiler (cc, gcc or clang)"
    raise UnavailableError(f"{missing}; install gcc or clang, or set CC")


def _key(compiler: list[str]) -> str:
    sources = b"".join(path.read_bytes() for path in sorted(_SOURCES.glob("*.[ch]")))
    text = "\n".join([*compiler, *_FLAGS, _run([*compiler, "--version"]), _cpu()])
    return _digest(sources + text.encode())


def _cpu() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    # x86 says "model name" and "flags", ARM "CPU part" and "Features".
    return "\n".join(sorted({line for line in lines if line.startswith(("model name", "flags", "CPU", "Features"))}))


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "shiftaddnas"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _run(command: list[str]) -> str:
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stderr.splitlines() if "error" in line] or error.stderr.splitlines() or ["?"]
        raise UnavailableError(f"`{shlex.join(command[:2])} ...` failed ({lines[0]}); repair it, or set CC") from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"`{shlex.join(command[:2])} ...` failed ({error}); repair it, or set CC") from error


def _load(path: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise UnavailableError(f"the compiled kernels do not load ({error}); set CC to another compiler") from error
