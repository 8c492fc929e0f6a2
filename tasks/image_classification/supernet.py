"""The hybrid image supernet, and the networks taken out of it: one fabric of modules, walked along one path or many."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from shiftaddnas.ops import Add, Conv, KernelOperator, Shift
from shiftaddnas.sharing import Independent, WeightSharing
from shiftaddnas.spaces import Arch
from shiftaddnas.supernets import Supernet
from tasks.image_classification.blocks import Slot
from tasks.image_classification.layers import ImageWorkload, OperatorSettings, Shapes
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
        settings: OperatorSettings,
        sharing: WeightSharing,
    ) -> None:
        super().__init__()
        stem = shapes.stem
        operators = kernel_operators(settings, shapes)
        self.stem = nn.Sequential(
            nn.Conv2d(workload.in_channels, stem.width, stem.kernel, stem.stride, stem.kernel // 2, bias=False),
            nn.BatchNorm2d(stem.width),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2, padding=1) if stem.pool else nn.Identity(),
        )
        self.entry = entry_projection(shapes, 0)
        self.layers = nn.ModuleList()
        for steps in layers:
            slots = nn.ModuleDict()
            for level in sorted({step.level for step in steps}):
                there = [step for step in steps if step.level == level]
                slots[str(level)] = Slot(
                    shapes, level, there, operators, sharing, attention_product=settings.attention_product
                )
            self.layers.append(slots)
        # Every path starts at the finest level; the released supernets can project to the others all the same.
        deeper = sorted({step.level for step in layers[0]} - {0})
        self.idle_entries = nn.ModuleList(entry_projection(shapes, level) for level in deeper)
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
        self.fabric = HybridFabric(space.shapes, workload, layers, space.operators, Independent())

    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """The stem and the blocks by parameter names, as timm's models give them."""
        return {"stem": r"^fabric\.(?:stem|entry)", "blocks": [(r"^fabric\.layers\.(\d+)", None)]}

    def forward(self, x_BCHW: Tensor) -> Tensor:
        out: Tensor = self.fabric(x_BCHW, self.steps)
        return out


class HybridSupernet(Supernet):
    """All archs of a hybrid image space; what no arch can reach is built only where the space says so."""

    def __init__(self, space: HybridSpace, workload: ImageWorkload, sharing: WeightSharing) -> None:
        super().__init__(space)
        self.hybrid_space = space
        self.workload = workload
        self.sharing = sharing
        self.fabric = HybridFabric(space.shapes, workload, space.built(), space.operators, sharing)

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
        divergences = []
        if self.sharing.divergence_weight == 0:
            return next(self.parameters()).new_zeros(())
        for layer, step in enumerate(self.hybrid_space.steps(arch)):
            slot = self.fabric.slot(layer, step)
            for kernel in slot.kernel_names(step):
                divergence = slot.kernels_of(step.operator).divergence(step.operator, kernel)
                if divergence is not None:
                    divergences.append(divergence)
        return self.sharing.penalty(divergences) if divergences else next(self.parameters()).new_zeros(())

    def operator_parameters(self, operator: str) -> Iterator[nn.Parameter]:
        for slot in self.fabric.slots():
            if operator in slot.blocks:
                yield from slot.blocks[operator].parameters()
                yield from slot.kernels_of(operator).parameters_of(operator)


def kernel_operators(settings: OperatorSettings, shapes: Shapes) -> dict[str, KernelOperator]:
    """What the names of a space's operators compute (attention is a block of its own)."""
    return {
        "conv": Conv(),
        "add": Add(settings.add_eta, settings.add_input_gradient),
        "shift": Shift(
            shapes.shift_form,
            sign_threshold=settings.shift_sign_threshold,
            act_fraction_bits=settings.shift_act_fraction_bits,
            grad_bits=settings.shift_grad_bits,
        ),
    }


def entry_projection(shapes: Shapes, level: int) -> nn.Sequential:
    """From the stem's map and width to the map and the inner width of a level."""
    width, inner, stride = shapes.stem.width, shapes.inner(level), 2**level
    return nn.Sequential(
        nn.Conv2d(width, width, stride, stride, groups=width, bias=False),
        nn.Conv2d(width, inner, 1, bias=False),
        nn.BatchNorm2d(inner),
    )
