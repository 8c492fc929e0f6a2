"""The hybrid image supernet, and the networks taken out of it: one fabric of modules, walked along one path or many."""

from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from shiftaddnas.ops import Add, Conv, KernelOperator, Shift
from shiftaddnas.sharing import Independent, WeightSharing
from shiftaddnas.spaces import Arch
from shiftaddnas.supernets import Supernet
from tasks.image_classification.blocks import Slot
from tasks.image_classification.layers import ImageWorkload, Shapes
from tasks.image_classification.space import HybridSpace, Step


class HybridFabric(nn.Module):
    """Stem, choice layers and head, with the modules that the given steps need and no others.

    Args:
        layers: for each choice layer, every step that can be taken there.
    """

    def __init__(
        self,
        shapes: Shapes,
        workload: ImageWorkload,
        layers: Sequence[Collection[Step]],
        operators: Mapping[str, KernelOperator],
        sharing: WeightSharing,
    ) -> None:
        super().__init__()
        stem, inner = shapes.stem, shapes.inner(0)
        self.stem = nn.Sequential(
            nn.Conv2d(workload.in_channels, stem.width, stem.kernel, stem.stride, stem.kernel // 2, bias=False),
            nn.BatchNorm2d(stem.width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1) if stem.pool else nn.Identity(),
        )
        self.entry = nn.Sequential(
            nn.Conv2d(stem.width, stem.width, 1, groups=stem.width, bias=False),
            nn.Conv2d(stem.width, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
        )
        self.layers = nn.ModuleList()
        for steps in layers:
            slots = nn.ModuleDict()
            for level in sorted({step.level for step in steps}):
                there = [step for step in steps if step.level == level]
                slots[str(level)] = Slot(shapes, level, there, operators, sharing)
            self.layers.append(slots)
        self.head = nn.Linear(shapes.levels[-1].width, workload.num_classes)

    def forward(self, x_BCHW: Tensor, steps: Sequence[Step]) -> Tensor:
        """Logits (B, num_classes) along one path."""
        x = self.entry(self.stem(x_BCHW))
        for layer, step in enumerate(steps):
            x = self.slot(layer, step)(x, step)
        out: Tensor = self.head(x.mean((2, 3)))
        return out

    def slot(self, layer: int, step: Step) -> Slot:
        slots = self.layers[layer]
        assert isinstance(slots, nn.ModuleDict)
        slot = slots[str(step.level)]
        assert isinstance(slot, Slot)
        return slot

    def slots(self) -> Iterator[Slot]:
        return (module for module in self.modules() if isinstance(module, Slot))


class HybridSubnet(nn.Module):
    """The network of one arch on its own. (B, in_channels, H, W) -> logits (B, num_classes)."""

    def __init__(self, space: HybridSpace, workload: ImageWorkload, arch: Arch) -> None:
        super().__init__()
        self.steps = space.steps(arch)
        layers = [[step] for step in self.steps]
        self.fabric = HybridFabric(space.shapes, workload, layers, operators_of(space), Independent())

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out: Tensor = self.fabric(x_BCHW, self.steps)
        return out


class HybridSupernet(Supernet):
    """All archs of a hybrid image space; what no arch can reach is not built."""

    def __init__(self, space: HybridSpace, workload: ImageWorkload, sharing: WeightSharing) -> None:
        super().__init__(space)
        self.hybrid_space = space
        self.workload = workload
        self.sharing = sharing
        self.fabric = HybridFabric(space.shapes, workload, space.reachable(), operators_of(space), sharing)

    def run(self, inputs: Tensor, arch: Arch) -> Tensor:
        out: Tensor = self.fabric(inputs, self.hybrid_space.steps(arch))
        return out

    @torch.no_grad()
    def extract(self, arch: Arch) -> HybridSubnet:
        subnet = HybridSubnet(self.hybrid_space, self.workload, arch).to(next(self.parameters()).device)
        own = {f"fabric.{name}": tensor for name, tensor in self.fabric.state_dict().items()}
        subnet.load_state_dict({name: own[name] for name in subnet.state_dict() if name in own}, strict=False)
        for layer, step in enumerate(subnet.steps):
            source, target = self.fabric.slot(layer, step), subnet.fabric.slot(layer, step)
            for kernel in source.kernel_names(step):
                values = source.kernels_of(step.operator).weights(step.operator, kernel)
                copies = target.kernels_of(step.operator).weights(step.operator, kernel)
                for copy, value in zip(copies, values, strict=True):
                    copy.copy_(value)
        return subnet.train(self.training)

    def regularizer(self, arch: Arch) -> Tensor:
        total, count = next(self.parameters()).new_zeros(()), 0
        if self.sharing.divergence_weight == 0:
            return total
        for layer, step in enumerate(self.hybrid_space.steps(arch)):
            slot = self.fabric.slot(layer, step)
            for kernel in slot.kernel_names(step):
                divergence = slot.kernels_of(step.operator).divergence(step.operator, kernel)
                if divergence is not None:
                    total, count = total + divergence, count + 1
        return self.sharing.divergence_weight * total / max(count, 1)

    def operator_parameters(self, operator: str) -> Iterator[nn.Parameter]:
        for slot in self.fabric.slots():
            if operator in slot.blocks:
                yield from slot.blocks[operator].parameters()
                yield from slot.kernels_of(operator).parameters_of(operator)


def operators_of(space: HybridSpace) -> dict[str, KernelOperator]:
    """What the names of a space's operators compute (attention is a block of its own)."""
    return {"conv": Conv(), "add": Add(), "shift": Shift(form=space.shapes.shift_form)}
