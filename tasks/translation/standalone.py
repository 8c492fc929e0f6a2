"""The network of one arch on its own, with fresh weights."""

from typing import Literal, get_args

from shiftaddnas.errors import UserError
from shiftaddnas.spaces import Arch
from tasks.translation.fairseq_adapter import Dictionary
from tasks.translation.modules.settings import TransformerSettings
from tasks.translation.modules.sizes import path_sizes
from tasks.translation.modules.transformer import HybridTransformer, extracted, single_path
from tasks.translation.space import TranslationSpace

Initialization = Literal["own", "super"]


def standalone_network(
    space: TranslationSpace,
    dictionary: Dictionary,
    arch: Arch,
    settings: TransformerSettings,
    *,
    init: Initialization = "own",
) -> HybridTransformer:
    """The network that the space prices, as a model of fairseq's, with weights from torch's generator.

    Args:
        init: fresh weights fit the network's "own" widths, or are a slice of fresh weights of the super-transformer's
            widths ("super"), which are smaller; the released networks of ShiftAddNAS were retrained from those.

    Raises:
        UserError: `init` is unknown.
    """
    if init not in get_args(Initialization):
        raise UserError(f"init={init} is unknown; it is own (network's widths) or super (a slice of the supernet's)")
    config = space.config(arch)
    sizes = path_sizes(space.shape, config)
    if init == "own":
        return single_path(sizes.cut(config), config, dictionary, settings)
    return extracted(single_path(sizes, config, dictionary, settings), config)
