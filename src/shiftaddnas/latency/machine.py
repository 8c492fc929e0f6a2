"""Which machine a time was measured on: what a latency depends on beside the network, as names and values."""

import hashlib
import time
from collections.abc import Mapping

import torch

import shiftaddnas
from shiftaddnas.errors import UserError
from shiftaddnas.latency.timing import clock_for
from shiftaddnas.ops.backend import adder_backend
from shiftaddnas.tracking.manifest import hardware, versions


def this_machine(device: str, num_threads: int) -> dict[str, str]:
    """This machine as it computes with so many threads; times are comparable where all of it is equal.

    Raises:
        UserError: there is no such device, or the number of threads is not positive.
    """
    if num_threads < 1:
        raise UserError(f"num_threads={num_threads} is not allowed; give at least 1")
    return {
        "device": device_name(device),
        "cpu": f"{hardware()['cpu']} ({torch.backends.cpu.get_cpu_capability()})",
        "num_threads": str(num_threads),
        "clock": "processor time" if clock_for(device, num_threads) is time.thread_time else "time on the wall",
        "dtype": "float32",
        "adder": adder_backend(),
        "torch": versions()["torch"],
        "shiftaddnas": shiftaddnas.__version__,
    }


def device_name(device: str) -> str:
    """ "cpu", or a GPU's product name.

    Raises:
        UserError: there is no such device here.
    """
    if device == "cpu":
        return "cpu"
    if device.partition(":")[0] != "cuda" or not torch.cuda.is_available():
        gpu = "cuda, " if torch.cuda.is_available() else ""
        raise UserError(f"device={device} is not here; allowed: {gpu}cpu")
    try:
        return torch.cuda.get_device_name(device)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UserError(f"device={device} is not here: {' '.join(str(error).split())}") from None


def first_difference(theirs: Mapping[str, str], ours: Mapping[str, str]) -> str | None:
    """The first thing of `ours` in which a machine differs, in words; None where it is the same."""
    for name, value in ours.items():
        if theirs.get(name) != value:
            return f"{name} is {theirs.get(name, 'not told')} there and {value} here"
    return None


def machine_id(machine: Mapping[str, str]) -> str:
    """A short name for file names, different where anything differs."""
    text = "\n".join(f"{name}: {value}" for name, value in machine.items())
    return hashlib.sha256(text.encode()).hexdigest()[:12]
