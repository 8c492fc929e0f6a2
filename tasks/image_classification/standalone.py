"""The network of one arch on its own, with fresh weights: in the supernet's shapes, or as it is retrained."""

from typing import TYPE_CHECKING

from torch import nn

from shiftaddnas.errors import UserError
from shiftaddnas.spaces import Arch
from tasks.image_classification.layers import ImageWorkload
from tasks.image_classification.space import HybridSpace
from tasks.image_classification.supernet import HybridSubnet

if TYPE_CHECKING:
    from tasks.image_classification.searched import SearchedNet


def standalone_network(space: HybridSpace, workload: ImageWorkload, arch: Arch) -> nn.Module:
    """The network that the space prices: as `space.profile` says.

    Raises:
        UserError: profile=retrain, but the space's shapes are not those of the networks of ShiftAddNAS.
    """
    return HybridSubnet(space, workload, arch) if space.profile == "supernet" else _retrained(space, workload, arch)


def _retrained(space: HybridSpace, workload: ImageWorkload, arch: Arch) -> "SearchedNet":
    from tasks.image_classification import searched  # it imports timm, which takes its time

    widths = [2 * level.width for level in space.levels]
    stem = space.shapes.stem
    if (
        widths != [searched.EXPANSION * planes for planes in searched.PLANES]
        or (stem.width, stem.kernel, stem.stride, stem.pool) != (64, 7, 2, True)
        or (space.shapes.bottleneck, space.shapes.head_dim) != (searched.EXPANSION, searched.HEAD_DIM)
    ):
        raise UserError(
            f"space.profile=retrain: networks are retrained in the shapes of space=hytra_hybrid, not of {space.name}; "
            "use space.profile=supernet"
        )
    steps = space.steps(arch)
    stages = [[step.operator for step in steps if step.level == level] for level in range(len(widths))]
    return searched.SearchedNet(
        stages,  # type: ignore[arg-type]  # the space's operators are theirs
        shift_form=space.shapes.shift_form,
        product=space.operators.attention_product,
        num_classes=workload.num_classes,
        in_chans=workload.in_channels,
    )
