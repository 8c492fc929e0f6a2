"""Timing whole networks in turns: every arch once a round, so that a disturbance of minutes hits all alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
from torch import nn

from shiftaddnas.errors import UserError
from shiftaddnas.hardware.latency_table import Timing
from shiftaddnas.latency.measurements import Measurements, Phase
from shiftaddnas.latency.timing import Clock, Protocol, awaited, clock_for, measuring, summary, time_round
from shiftaddnas.spaces import Arch, Law, Space

MAX_DRAWS_PER_ARCH = 1_000


@dataclass(frozen=True)
class Networks:
    """What is timed: how the network of an arch is made, how it is run, and where.

    Args:
        run: runs a network, on inputs that are on the device.
        device: "cpu" or "cuda"; networks are moved there.
        num_threads: of the CPU.
    """

    build: Callable[[Arch], nn.Module]
    run: Callable[[nn.Module], Any]
    device: str = "cpu"
    num_threads: int = 1

    def call(self, arch: Arch) -> Callable[[], Any]:
        """A function that runs a fresh network of the arch, in evaluation mode."""
        network = self.build(arch).eval().to(self.device)
        return awaited(lambda: self.run(network), self.device)


def sample_archs(space: Space[Any, Any], num_archs: int, rng: np.random.Generator, law: Law | None) -> list[Arch]:
    """Different random archs; more of them begin with the same ones.

    Raises:
        UserError: the law is unknown, the space has fewer, or they were not found within many draws.
    """
    if law is not None and law not in get_args(Law):
        raise UserError(f"law={law} is unknown; allowed: {', '.join(get_args(Law))}")
    if num_archs > space.size():
        raise UserError(f"num_archs={num_archs} is more than the {space.size()} archs of space {space.name}")
    archs: dict[Arch, None] = {}
    for _ in range(MAX_DRAWS_PER_ARCH * num_archs):
        if len(archs) == num_archs:
            return list(archs)
        archs[space.sample(rng, law)] = None
    raise UserError(
        f"num_archs={num_archs}: {MAX_DRAWS_PER_ARCH * num_archs} draws gave {len(archs)} different archs of space "
        f"{space.name}; ask for fewer, or set law to the other of archs, decisions"
    )


def measure(
    archs: Sequence[Arch],
    networks: Networks,
    measurements: Measurements,
    protocol: Protocol,
    *,
    phase: Phase = "first",
    on_round: Callable[[], None] = lambda: None,
    clock: Clock | None = None,
) -> list[Timing]:
    """The latency of each arch's network, in milliseconds; what is in the file already is not timed again.

    Args:
        on_round: called after each round of each arch.
        clock: what tells the seconds, where it is not the usual.
    """
    clock = clock or clock_for(networks.device, networks.num_threads)
    with measuring(networks.num_threads):
        for number in range(protocol.num_rounds):
            for arch in archs:
                if not measurements.has(phase, number, arch):
                    times = time_round(networks.call(arch), protocol, clock)
                    measurements.append(phase, number, arch, times)
                on_round()
    return [summary(measurements.rounds(phase, arch, protocol.num_rounds)) for arch in archs]
