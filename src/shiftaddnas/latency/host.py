"""The latency of a network on this machine, as the sum of its layers', each distinct layer timed once."""

import logging
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import track

from shiftaddnas.errors import UserError
from shiftaddnas.hardware import BoundCost, Cost, Layer, LayerModel
from shiftaddnas.hardware.latency_table import (
    LATENCY,
    TableFile,
    Timing,
    computation,
    computations,
    read_table,
    write_table,
)
from shiftaddnas.latency.exclusive import exclusive
from shiftaddnas.latency.layers import layer_call
from shiftaddnas.latency.machine import first_difference, machine_id, this_machine
from shiftaddnas.latency.timing import Clock, Protocol, awaited, clock_for, measuring, time_call
from shiftaddnas.spaces import Space

W = TypeVar("W")

_log = logging.getLogger(__name__)


class HostLatency(LayerModel):
    """Times layers on this machine and keeps the times in a table; estimates are look-ups.

    On binding to a space, the layers of the space that are not in the table yet are timed, and each is written down
    at once, so that what was interrupted goes on there. The sum leaves out what stands between the layers:
    normalisations, activations, additions of branches, and the framework's own work for each module.

    Args:
        name: how tables and messages call this machine.
        protocol: how often a layer is run.
        table: the table's file; None for one in the user's cache folder, another for every machine, number of threads
            and version.
        device: "cpu", or "cuda".
        num_threads: of the CPU.
        clock: what tells the seconds, where it is not the usual.

    Raises:
        UserError: there is no such device, or the table was made elsewhere. On binding: a layer cannot be computed
            here, or the table cannot be written.
    """

    metrics = (LATENCY,)

    def __init__(
        self,
        name: str,
        protocol: Protocol,
        *,
        table: str | None = None,
        device: str = "cpu",
        num_threads: int = 1,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.protocol = protocol
        self.device = device
        self.num_threads = num_threads
        self.clock = clock or clock_for(device, num_threads)
        self.machine = this_machine(device, num_threads)
        kept = _cache_folder() / f"{device.replace(':', '')}-{machine_id(self.machine)}.csv"
        self.table = kept if table is None else Path(table)
        self.timings: dict[Layer, Timing] = {}
        self._read()

    def bind(self, space: Space[Any, W], workload: W) -> BoundCost:
        self._measure(computations(space, workload), f"layers of {space.name}")
        return super().bind(space, workload)

    def estimate(self, layers: Iterable[Layer]) -> Cost:
        layers = tuple(layers)
        self._measure(tuple(dict.fromkeys(computation(layer) for layer in layers)), "layers")
        return super().estimate(layers)

    def price(self, layer: Layer) -> dict[str, float]:
        return {LATENCY.name: self.timings[computation(layer)].latency_ms}

    def _read(self) -> None:
        """Take over what this machine has measured before."""
        if not self.table.exists():
            return
        content = read_table(self.table)
        differs = first_difference(content.machine, self.machine)
        if differs:
            raise UserError(
                f"hardware.table={self.table} was not measured here: {differs}; read it with hardware=latency_table, "
                "or give another file to measure into"
            )
        self.timings.update(content.timings)

    def _measure(self, layers: Sequence[Layer], what: str) -> None:
        if all(layer in self.timings for layer in layers):
            return
        with exclusive(self.table, "hardware.table"), measuring(self.num_threads):
            self._read()  # the process that was waited for may have measured them
            missing = [layer for layer in layers if layer not in self.timings]
            console = Console(stderr=True)
            for layer in track(missing, f"timing {what}", console=console, transient=True):
                call = awaited(layer_call(layer, self.device), self.device)
                self.timings[layer] = time_call(call, self.protocol, self.clock)
                date = datetime.now(UTC).isoformat(timespec="seconds")
                write_table(self.table, TableFile({**self.machine, "date": date}, self.timings))
        if missing:
            _log.info("timed %d %s; the table is %s", len(missing), what, self.table)


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "shiftaddnas" / "latency"
