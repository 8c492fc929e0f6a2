"""What it costs to move the values of one dense computation, at each level of the memory.

The loops are tiled: N = N0 N3, M = M0 M1 M2 M3, C = C0 C1 C2, E = E1 E3, where 0 is what the registers of a PE hold, 1
is spread over the array, 2 follows in turns from the global buffer and 3 in turns from DRAM. R is spread over the
array, S and F stay within a PE. The counts are those of the released ShiftAddNAS simulator
(retraining_hybrid/hw_utils.py); each operand's depend on the tiling of some loops only. All functions take tilings as
numbers or as arrays.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from shiftaddnas.hardware.accelerator.array import AccessEnergy
from shiftaddnas.hardware.accelerator.rules import Rule, Shape

PJ_PER_MJ = 1e9
WORD_BITS = 16


class Levels(NamedTuple):
    """Energies in mJ at each level, outermost first."""

    dram: Any
    dram_buffer: Any
    buffer: Any
    noc: Any
    rf: Any


@dataclass(frozen=True)
class UnitEnergy:
    """The energy of one access to a value of each operand."""

    input: Levels
    weight: Levels
    output: Levels


def unit_energy(access_pj: AccessEnergy, rule: Rule, *, weights_are_activations: bool) -> UnitEnergy:
    """Energies of single accesses: by the bits of the values, and none outside the PEs where all is on chip."""
    weight_bits = rule.act_bits if weights_are_activations else rule.weight_bits
    act, weight = (bits / WORD_BITS / PJ_PER_MJ for bits in (rule.act_bits, weight_bits))
    shared = [access_pj.dram, access_pj.dram_buffer, access_pj.buffer, access_pj.noc]
    if rule.on_chip:
        shared = [0.0] * len(shared)
    far, noc = shared[:-1], shared[-1]

    def levels(mj_per_pj: float, noc: float, rf: float) -> Levels:
        return Levels(*(mj_per_pj * energy for energy in (*far, noc, rf)))

    return UnitEnergy(
        input=levels(act, noc, access_pj.rf),
        weight=levels(weight, noc, access_pj.rf_weight),
        output=levels(act, access_pj.noc_psum, access_pj.rf),
    )


def input_energy(shape: Shape, unit: UnitEnergy, M0: Any, M1: Any, M2: Any, M3: Any) -> Levels:
    """Inputs are read once for each part of the output maps that is computed at another time or in another place."""
    num_inputs = shape.N * shape.H * shape.W * shape.C
    dram = M3 * num_inputs
    noc = M3 * M2 * M1 * shape.R * shape.E / shape.H * num_inputs
    rf = noc * M0 * shape.S * shape.F / shape.W
    return _energies(unit.input, dram, dram, M3 * M2 * num_inputs, noc, rf)


def weight_energy(shape: Shape, unit: UnitEnergy, N3: Any, E3: Any) -> Levels:
    """Weights go from DRAM straight to the PEs, once for each part of the batch and of the output rows."""
    num_weights = shape.R * shape.S * shape.C * shape.M
    rf = shape.N * shape.E * shape.F * num_weights
    return _energies(unit.weight, N3 * E3 * num_weights, 0, 0, N3 * shape.E * num_weights, rf)


def output_energy(shape: Shape, unit: UnitEnergy, C0: Any, C1: Any, C2: Any) -> Levels:
    """Partial sums are written and read again for each part of the sum over C, R and S that follows another."""
    num_outputs = shape.N * shape.E * shape.F * shape.M
    buffer = np.maximum(2 * (C2 - 1), 1) * num_outputs
    noc = np.maximum(C2 * (C1 * shape.R - 1), 1) * num_outputs
    rf = np.maximum(2 * C2 * C1 * shape.R * (C0 * shape.S - 1), 1) * num_outputs
    return _energies(unit.output, num_outputs, num_outputs, buffer, noc, rf)


def _energies(unit: Levels, *num_accesses: Any) -> Levels:
    return Levels(*(number * energy for number, energy in zip(num_accesses, unit, strict=True)))
