"""The networks as they are retrained after a search: priced here, from shapes alone; searched.py builds them.

ShiftAddNAS retrains what it found twice as wide, with squeeze-and-excitation, average-pooled shortcuts and no entry
projection, and its limits on parameters and multiplications hold for those networks.
"""

from collections.abc import Iterator
from dataclasses import replace

from shiftaddnas.hardware.layer import Layer
from tasks.image_classification.layers import PEG_WITH_BIAS, BlockTerm, EntryTerm, ImageWorkload, Shapes

SQUEEZE = 16
"""How much narrower squeeze-and-excitation is in its middle; it has 8 channels at least."""


def retrained_layers(shapes: Shapes, term: object, workload: ImageWorkload) -> tuple[Layer, ...]:
    """The priced computations of a term of the retrained network, for one image.

    Raises:
        UserError: the image is not a multiple of the coarsest level's reduction.
    """
    levels = tuple(replace(level, width=2 * level.width) for level in shapes.levels)
    wide = replace(shapes, levels=levels, peg_bias=PEG_WITH_BIAS)
    match term:
        case EntryTerm():
            return ()
        case BlockTerm():
            wide.check_image(workload)
            return tuple(_block(wide, term, workload.image_size))
    return wide.layers(term, workload)


def _block(wide: Shapes, term: BlockTerm, image_size: int) -> Iterator[Layer]:
    width = wide.levels[term.level].width
    channels = wide.stem.width if term.entry == "first" else wide.input_width(term.level, term.entry)
    size = image_size // wide.levels[term.level].reduction
    if channels != width:  # behind the pool, where the map shrinks
        yield wide.convolution(term.operator)("shortcut", "shortcut", channels, width, size, 1)
    yield from wide.main_path(term, image_size, channels)
    if term.operator != "attention":
        middle = max(width // SQUEEZE, 8)
        yield _linear("squeeze", width, middle)
        yield _linear("excite", middle, width)


def _linear(name: str, C: int, M: int) -> Layer:
    """A layer of squeeze-and-excitation, which multiplies whatever the block's operator."""
    return Layer(name, "squeeze_excitation", "linear", "mult", N=1, C=C, M=M, num_params=(C + 1) * M)
