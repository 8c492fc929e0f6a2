"""How the patches of a map meet kernels: sizes, stride, padding, dilation and groups, checked once for every kernel."""

import math
from dataclasses import dataclass

from torch import Tensor

from shiftaddnas.errors import UserError
from shiftaddnas.ops.pair import IntPair, pair


@dataclass(frozen=True)
class Geometry:
    """A convolution's geometry on maps of one size; pairs are (rows, columns)."""

    input_size: tuple[int, int]
    output_size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @classmethod
    def of(
        cls, x_BCHW: Tensor, weight_FCRS: Tensor, stride: IntPair, padding: IntPair, dilation: IntPair, groups: int
    ) -> "Geometry":
        """The geometry of kernels (F, C / groups, R, S) on maps (B, C, H, W).

        Raises:
            UserError: a stride or dilation is below 1, a padding below 0, channels and groups do not fit, or the kernel
                is larger than the padded input.
        """
        steps, pads, spreads = pair(stride), pair(padding), pair(dilation)
        if min(*steps, *spreads, groups) < 1 or min(pads) < 0:
            raise UserError(
                f"stride={stride}, padding={padding}, dilation={dilation}, groups={groups}; "
                "allowed are numbers from 1, and paddings from 0"
            )
        channels, filters = x_BCHW.shape[1], weight_FCRS.shape[0]
        if channels != weight_FCRS.shape[1] * groups or filters % groups:
            raise UserError(
                f"groups={groups} does not fit {channels} input channels and kernels of shape "
                f"{tuple(weight_FCRS.shape)}; both channel counts must be divisible by it"
            )
        size, kernel = (x_BCHW.shape[2], x_BCHW.shape[3]), (weight_FCRS.shape[2], weight_FCRS.shape[3])
        rows, cols = (
            (size[axis] + 2 * pads[axis] - spreads[axis] * (kernel[axis] - 1) - 1) // steps[axis] + 1 for axis in (0, 1)
        )
        if min(rows, cols) < 1:
            raise UserError(f"a kernel of {kernel} does not fit an input of {size}, padded by {pads}")
        return cls(size, (rows, cols), kernel, steps, pads, spreads, groups)

    @property
    def columns_per_channel(self) -> int:
        """Elements of one channel's unfolded columns: taps times output positions."""
        return math.prod(self.kernel) * math.prod(self.output_size)

    @property
    def axes(self) -> list[int]:
        """Size, outputs, taps, stride, padding and dilation: of the rows, then of the columns."""
        sizes = self.input_size, self.output_size, self.kernel, self.stride, self.padding, self.dilation
        return [pair[axis] for axis in (0, 1) for pair in sizes]

    @property
    def is_linear(self) -> bool:
        """Whether the kernel covers the whole map once, so that the layer is one on flat features."""
        return self.groups == 1 and self.padding == (0, 0) and self.kernel == self.input_size
