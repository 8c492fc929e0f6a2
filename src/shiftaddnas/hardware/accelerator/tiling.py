"""The tilings of a dense computation, and the search for the best of them: all at once, in numpy.

A tiling splits the loops as traffic.py says. It is valid if its part of the data fits the registers of a PE, the array
and the global buffer.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Any, ClassVar, Literal, NoReturn

import numpy as np
from numpy.typing import NDArray

from shiftaddnas.errors import UserError
from shiftaddnas.hardware.accelerator.array import FORBID_UNKNOWN_KEYS, Array
from shiftaddnas.hardware.accelerator.factors import Ints, factorisations
from shiftaddnas.hardware.accelerator.rules import Shape
from shiftaddnas.hardware.accelerator.traffic import UnitEnergy, input_energy, output_energy, weight_energy

Objective = Literal["released", "energy", "latency", "energy_delay"]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

PREFILTER_WORDS = 16


@dataclass(frozen=True)
class Tiling:
    """How one dense computation is split, and how many of its copies are computed side by side (`copies1`)."""

    N0: int
    N3: int
    M0: int
    M1: int
    M2: int
    M3: int
    C0: int
    C1: int
    C2: int
    E1: int
    E3: int
    copies1: int


@dataclass(frozen=True)
class TilingSearch:
    """Which tilings are tried, and which of them is taken.

    Attributes:
        objective: "energy" takes the least energy, "latency" the least latency (the other one decides among equals),
            "energy_delay" the least product of both, "released" the least (E - Emin) / Emax + (L - Lmin) / Lmax over
            the valid tilings. Of equals, the first in the order of enumeration is taken.
        pad_rows: output rows are spread over the array in any numbers; the last turn is padded where they do not divide
            the map. If not, only in numbers that divide it, and, but for single positions, more than one.
        strict_limits: the array, the buffer and the registers of inputs and weights must not be full.
        prefilter: tilings of M with more than 16 partial sums in a PE are dropped, whatever the array's registers hold,
            but the one behind a dropped one is not looked at. (The released code deletes from the list it walks along.)
    """

    __pydantic_config__: ClassVar = FORBID_UNKNOWN_KEYS

    objective: Objective
    pad_rows: bool
    strict_limits: bool = False
    prefilter: bool = False

    def best(self, shape: Shape, array: Array, unit: UnitEnergy, compute_mj: float) -> Tiling:
        """The best tiling of a computation, whose arithmetic takes `compute_mj`.

        Raises:
            UserError: no tiling is valid. The message names the limit that none keeps.
        """
        room = self._room(array)
        N0, N3 = factorisations(shape.N, 2).T
        C0, C1, C2 = self._channels(shape, room, array)
        M0, M1, M2, M3 = self._output_maps(shape, room, int(C0.max()))
        E1, E3 = self._rows(shape, room, array)

        # Axes: N, the tilings of M and C that fit the PEs together, E.
        pes = np.multiply.outer(M1, C1 * shape.R)
        held = np.multiply.outer(M0, C0 * shape.S)
        m, c = np.nonzero((pes * E1.min() <= room.num_pes) & (held <= room.weight_words))
        pes = np.multiply.outer(pes[m, c], E1)

        rows = (E1 - 1) * shape.stride + (shape.R - 1) * shape.dilation + 1
        columns = (shape.F - 1) * shape.stride + (shape.S - 1) * shape.dilation + 1
        buffered = np.multiply.outer((C0 * C1)[c], rows * columns)
        buffered += np.multiply.outer((M0 * M1 * M2)[m], E1 * shape.F)
        buffered = np.multiply.outer(N0, buffered)
        valid = (buffered <= room.buffer_words) & (pes <= room.num_pes)
        if not valid.any():
            self._refuse("buffer_words", array, buffered.min())

        copies1 = np.ones((1, 1, 1), dtype=np.int64)
        if shape.copies > 1:
            copies1 = np.minimum(room.num_pes // pes, room.buffer_words // buffered).clip(1, shape.copies)
        cycles = num_cycles(shape, M1[m, np.newaxis], C1[c, np.newaxis], E3, copies1)
        inputs, outputs = sum(input_energy(shape, unit, M0, M1, M2, M3)), sum(output_energy(shape, unit, C0, C1, C2))
        weights = sum(weight_energy(shape, unit, N3[:, np.newaxis], E3))
        moving = (inputs[m] + outputs[c])[:, np.newaxis] + weights[:, np.newaxis]
        n, mc, e = np.unravel_index(self._first_best(moving, compute_mj, cycles, valid), valid.shape)
        m, c = m[mc], c[mc]
        together = np.broadcast_to(copies1, valid.shape)[n, mc, e]
        return Tiling(
            *map(int, (N0[n], N3[n], M0[m], M1[m], M2[m], M3[m], C0[c], C1[c], C2[c], E1[e], E3[e], together))
        )

    def _first_best(self, moving: Floats, compute_mj: float, cycles: Ints, valid: Bools) -> int:
        E, L = moving[valid], np.broadcast_to(cycles, valid.shape)[valid]
        if self.objective in ("released", "energy_delay"):  # the others do not depend on it, not even by rounding
            E += compute_mj
        match self.objective:
            case "released":
                score = (E - E.min()) / E.max() + (L - L.min()) / L.max()
            case "energy":
                score = np.where(E.min() == E, L, np.inf)
            case "latency":
                score = np.where(L.min() == L, E, np.inf)
            case "energy_delay":
                score = E * L
        return int(np.flatnonzero(valid)[score.argmin()])

    def _room(self, array: Array) -> Array:
        """The sizes that a tiling may take at most."""
        taken = 1 if self.strict_limits else 0
        names = ("num_pes", "input_words", "weight_words", "buffer_words")
        return replace(array, **{name: getattr(array, name) - taken for name in names})

    def _output_maps(self, shape: Shape, room: Array, most_channels: int) -> Ints:
        most_maps = min(shape.M, room.psum_words)
        # The released objective also asks for the worst tiling.
        only_good = self.objective != "released" and most_maps * most_channels * shape.S <= room.weight_words
        return _output_maps(shape.M, room.psum_words, prefilter=self.prefilter, only_good=only_good)

    def _channels(self, shape: Shape, room: Array, array: Array) -> Ints:
        tilings = factorisations(shape.C, 3)
        for setting, limit in (("input_words", room.input_words), ("weight_words", room.weight_words)):
            if limit < shape.S:
                self._refuse(setting, array, shape.S)
        return tilings[tilings[:, 0] * shape.S <= room.input_words].T

    def _rows(self, shape: Shape, room: Array, array: Array) -> Ints:
        if self.pad_rows:
            turns = np.unique(-(-shape.E // np.arange(1, shape.E + 1)))
            tilings = np.stack([-(-shape.E // turns), turns])
        else:
            tilings = factorisations(shape.E, 2).T
            if not shape.is_vector:
                tilings = tilings[:, tilings[0] > 1]
            if not tilings.size:
                raise UserError(
                    "hardware.tiling.pad_rows=false spreads at least two output rows over the array, and there is one; "
                    "hardware.tiling.pad_rows=true allows it"
                )
        pes = tilings[0] * shape.R
        if pes.min() > room.num_pes:
            self._refuse("num_pes", array, pes.min())
        return tilings[:, pes <= room.num_pes]

    def _refuse(self, setting: str, array: Array, least: int) -> NoReturn:
        strictly = ", of which not all may be used" if self.strict_limits else ""
        hint = "" if self.pad_rows else "; hardware.tiling.pad_rows=true spreads the output rows in any numbers"
        size = getattr(array, setting)
        raise UserError(f"no tiling fits hardware.array.{setting}={size}{strictly}: the smallest needs {least}{hint}")


def num_cycles(shape: Shape, M1: Any, C1: Any, E3: Any, copies1: Any) -> Any:
    """Cycles of all copies: what is not spread over the array (M1, C1, E1, R, some copies) follows in turns."""
    turns = -(-shape.copies // copies1)
    return shape.N * (shape.M // M1) * (shape.C // C1) * E3 * shape.F * shape.S * turns


@cache
def _output_maps(M: int, psum_words: int, *, prefilter: bool, only_good: bool) -> Ints:
    """The tilings of M, as four rows, whose partial sums fit the registers.

    Where `only_good`, of those with the same M1 and M3 just that with the greatest M0: it needs the same cycles, array
    and buffer as the others, and its inputs are read least often.
    """
    tilings = factorisations(M, 4)
    if prefilter:
        tilings = _prefiltered(tilings)
    tilings = tilings[tilings[:, 0] <= psum_words]
    if only_good:
        by_size = np.argsort(-tilings[:, 0], kind="stable")
        _, first = np.unique(tilings[by_size][:, [1, 3]], axis=0, return_index=True)
        tilings = tilings[np.sort(by_size[first])]
    return tilings.T


def _prefiltered(tilings: Ints) -> Ints:
    kept = np.ones(len(tilings), dtype=np.bool_)
    place = 0
    while place < len(tilings):
        kept[place] = tilings[place, 0] <= PREFILTER_WORDS
        place += 1 if kept[place] else 2
    return tilings[kept]
