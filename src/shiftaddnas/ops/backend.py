"""What computes adder layers: "native", C kernels, on the CPU; "triton" kernels on GPUs; else PyTorch, "torch".

The best that works is taken. The environment variable SHIFTADDNAS_ADDER=native|triton|torch or `force_adder_backend`
decide otherwise. Float64 always takes the PyTorch path.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Literal, cast, get_args

import torch

from shiftaddnas.errors import UserError
from shiftaddnas.ops.native import UnavailableError, load_library
from shiftaddnas.ops.triton_kernels import why_unavailable as why_triton_unavailable

AdderBackend = Literal["native", "triton", "torch"]
VARIABLE = "SHIFTADDNAS_ADDER"

_BEST: dict[str, AdderBackend] = {"cpu": "native", "cuda": "triton"}
_DEVICES = {"cpu": "the CPU", "cuda": "the GPU"}
_NAMES: dict[AdderBackend, str] = {"native": "compiled kernels", "triton": "Triton kernels", "torch": "PyTorch"}
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
def adder_backend(device_type: str = "cpu") -> AdderBackend:
    """The backend that is used for tensors on a type of device. It is logged when it is used for the first time.

    Raises:
        UserError: SHIFTADDNAS_ADDER is unknown, or the kernels that are forced cannot run on this device.
    """
    wanted = _forced[-1] if _forced else os.environ.get(VARIABLE)
    if wanted and wanted not in get_args(AdderBackend):
        raise UserError(f"{VARIABLE}={wanted} is unknown; it is native, triton, torch, or unset for the best there is")
    backend = cast(AdderBackend, wanted) if wanted else _BEST.get(device_type, "torch")
    if torch.compiler.is_exporting():
        return backend  # a graph names the operator; what can compute it on this machine plays no part
    reason = _why_unavailable(backend, device_type)
    layers = f"adder layers on {_DEVICES.get(device_type, device_type)}"
    if reason is None:
        _say(logging.INFO, f"{layers} are computed by {_NAMES[backend]}")
        return backend
    if wanted:
        raise UserError(f"{VARIABLE}={wanted}: {reason}, or unset {VARIABLE}")
    _say(logging.WARNING, f"{layers} are computed by PyTorch, about ten times slower: {reason}")
    return "torch"


@cache
def _why_unavailable(backend: AdderBackend, device_type: str) -> str | None:
    if backend == "triton":
        return why_triton_unavailable(device_type)
    if backend == "torch":
        return None
    if device_type != "cpu":
        return f"compiled kernels run on the CPU, and the layer's input is on {device_type}; move layer and input"
    try:
        load_library()
    except UnavailableError as reason:
        return str(reason)
    return None


@cache
def _say(level: int, message: str) -> None:
    _log.log(level, message)
