"""The accelerator as data: a row-stationary array of processing elements (PEs), its memories and its unit energies.

The structure is that of Eyeriss (ISCA 2016): every PE has register files for inputs, weights and partial sums, all PEs
share a network on chip (NoC) and a global buffer, and DRAM stands behind the buffer.
"""

import math
from dataclasses import dataclass, fields
from typing import ClassVar

from shiftaddnas.errors import UserError

FORBID_UNKNOWN_KEYS = {"extra": "forbid"}
"""What config sections of the model ask of whoever turns a mapping into them: a misspelt key is an error."""


@dataclass(frozen=True)
class Array:
    """Sizes of the accelerator. Memories are counted in values ("words") of the network's number format.

    Attributes:
        num_pes: processing elements; each does one tap a cycle.
        input_words, weight_words, psum_words: the register files of one PE.
        buffer_words: the global buffer. It holds inputs and partial sums; weights go past it.
        clock_mhz: cycles per microsecond.
    """

    __pydantic_config__: ClassVar = FORBID_UNKNOWN_KEYS

    num_pes: int
    input_words: int
    weight_words: int
    psum_words: int
    buffer_words: int
    clock_mhz: float

    def check(self) -> None:
        """Raise a UserError unless the sizes are whole numbers from 1 and the clock is above 0."""
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "clock_mhz":
                check_number("array.clock_mhz", value, positive=True)
            elif isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise UserError(f"hardware.array.{field.name}={value} is not allowed; give a whole number from 1")


@dataclass(frozen=True)
class AccessEnergy:
    """Energy in pJ of one access to a word of 16 bits, by level; it scales with the bits of the value.

    `dram_buffer` is the way between DRAM and the global buffer. Partial sums pass from PE to PE (`noc_psum`), which
    costs less than what the NoC brings from the buffer (`noc`); the register file of the weights is the largest of the
    three of a PE and costs more (`rf_weight`) than the others (`rf`).
    """

    __pydantic_config__: ClassVar = FORBID_UNKNOWN_KEYS

    dram: float
    dram_buffer: float
    buffer: float
    noc: float
    noc_psum: float
    rf: float
    rf_weight: float

    def check(self) -> None:
        """Raise a UserError unless all energies are numbers from 0."""
        for field in fields(self):
            check_number(f"access_pj.{field.name}", getattr(self, field.name))


def check_number(setting: str, value: float, *, positive: bool = False) -> None:
    """Raise a UserError that names hardware.<setting> unless the value is a finite number from (or above) 0."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or value < 0 or (positive and value == 0):
        allowed = "above 0" if positive else "from 0"
        raise UserError(f"hardware.{setting}={value} is not allowed; give a number {allowed}")
