"""Networks of the tiny space that take no time, and a clock that says they do."""

from torch import Tensor, nn, zeros

from shiftaddnas.latency import Networks, Protocol
from shiftaddnas.spaces import Arch
from shiftaddnas.testing.tiny_space import TinySpace

SPACE = TinySpace()
ARCHS = list(SPACE.archs())
PROTOCOL = Protocol(num_rounds=4, round_ms=0, min_calls=2, num_warmups=1)


class Lab:
    """A machine where an arch takes a millisecond for each decision, and a tenth more in each later round.

    Attributes:
        order: the ids of the archs as they were built.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []

    def clock(self) -> float:
        return self.now

    def networks(self) -> Networks:
        return Networks(self._build, lambda network: network(zeros(1, 3, 8, 8)))

    def _build(self, arch: Arch) -> nn.Module:
        self.order.append(arch.id)
        return _Timed(self, len(arch.decisions) + 0.1 * (self.order.count(arch.id) - 1))


class _Timed(nn.Module):
    def __init__(self, lab: Lab, milliseconds: float) -> None:
        super().__init__()
        self._lab, self._milliseconds = lab, milliseconds

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        assert x.shape == (1, 3, 8, 8)
        self._lab.now += self._milliseconds / 1e3
        return x
