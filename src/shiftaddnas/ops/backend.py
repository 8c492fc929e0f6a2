"""What computes adder layers on the CPU in float32: the compiled kernels ("native") where they compile, else PyTorch.

The environment variable SHIFTADDNAS_ADDER=native|torch or `force_adder_backend` decide otherwise. Other devices and
types always take the PyTorch path.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal

import torch

from shiftaddnas.errors import UserError
from shiftaddnas.ops.native import UnavailableError, load_library

AdderBackend = Literal["native", "torch"]
VARIABLE = "SHIFTADDNAS_ADDER"

_log = logging.getLogger(__name__)
_forced: list[AdderBackend] = []


@contextmanager
def force_adder_backend(backend: AdderBackend) -> Iterator[None]:
    """Within the context, in every thread, adder layers are computed by this backend."""
    _forced.append(backend)
    try:
        yield
    finally:
        _forced.pop()


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def adder_backend() -> AdderBackend:
    """The backend in use. It is logged when it is used for the first time.

    Raises:
        UserError: SHIFTADDNAS_ADDER is unknown, or the compiled kernels are forced and do not compile.
    """
    wanted = _forced[-1] if _forced else os.environ.get(VARIABLE) or "auto"
    if wanted not in ("auto", "native", "torch"):
        raise UserError(f"{VARIABLE}={wanted} is unknown; it is native, torch, or unset for the best there is")
    if wanted == "torch":
        _say(logging.INFO, "adder layers on the CPU are computed by PyTorch, as it was asked for")
        return "torch"
    reason = _why_unavailable()
    if reason is None:
        _say(logging.INFO, "adder layers on the CPU are computed by compiled kernels")
        return "native"
    if wanted == "native":
        raise UserError(f"{VARIABLE}=native: {reason}, or unset {VARIABLE}")
    _say(logging.WARNING, f"adder layers on the CPU are computed by PyTorch, about ten times slower: {reason}")
    return "torch"


@cache
def _why_unavailable() -> str | None:
    try:
        load_library()
    except UnavailableError as reason:
        return str(reason)
    return None


@cache
def _say(level: int, message: str) -> None:
    _log.log(level, message)
