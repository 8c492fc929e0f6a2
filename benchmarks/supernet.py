"""How fast supernets train: by sharing scheme, and beside the published map and adder formulas.

`python benchmarks/supernet.py` prints Markdown. A step is forward, loss, regularizer, backward and AdamW. What is
compared trains the same archs of `space=fashion_mnist` in turns in one process: first the sharing schemes, then the
paper's scheme as it is here and by the published formulas, which are a loop over the bins of the map and the L1
distance as a broadcast difference. The last part is one step of the paper's space at full width.
"""

import os
import statistics
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from functools import partial
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
from omegaconf import OmegaConf
from operators import map_by_bins, peak_mib, seconds
from torch import Tensor

from shiftaddnas.cli.app import config_folder
from shiftaddnas.cli.build import build
from shiftaddnas.sharing import Heterogeneous, Independent, Quantile, Shared, WeightSharing
from shiftaddnas.spaces import Arch
from tasks.image_classification import HybridSpace
from tasks.image_classification.layers import ImageWorkload
from tasks.image_classification.supernet import HybridSupernet

NUM_ARCHS = 7
BATCH = 16  # of the comparison with the published formulas
ROUNDS = 5
SCHEMES: tuple[type[WeightSharing], ...] = (Independent, Shared, Quantile, Heterogeneous)


def shipped_space(name: str) -> HybridSpace:
    config = OmegaConf.load(config_folder() / "space" / f"{name}.yaml")
    space: HybridSpace = build(OmegaConf.to_container(config), "space")
    return space


def broadcast_adder(x: Tensor, w: Tensor, bias: Tensor | None = None, **settings: Any) -> Tensor:
    """The published formula, which holds (outputs x positions x taps) elements; its gradient is autograd's."""
    stride, padding, groups = settings["stride"], settings["padding"], settings["groups"]
    size = (x.shape[-1] + 2 * padding - w.shape[-1]) // stride + 1
    columns = F.unfold(x, w.shape[-1], 1, padding, stride).unflatten(1, (groups, 1, -1))
    kernels = w.view(1, groups, -1, w[0].numel(), 1)
    y = -(columns - kernels).abs().sum(3).view(len(x), len(w), size, size)
    return y if bias is None else y + bias.view(-1, 1, 1)


def published() -> ExitStack:
    """Within it, supernets compute by the published formulas."""
    stack = ExitStack()
    stack.enter_context(patch("shiftaddnas.ops.operators.adder_conv2d", broadcast_adder))
    stack.enter_context(patch("shiftaddnas.sharing.maps.piecewise_linear", map_by_bins))
    return stack


def training_step(net: HybridSupernet, optimizer: torch.optim.Optimizer, arch: Arch, x: Tensor, y: Tensor) -> None:
    optimizer.zero_grad()
    loss = F.cross_entropy(net(x, arch), y) + net.regularizer(arch)
    torch.autograd.backward(loss)
    optimizer.step()


def setting(
    space: HybridSpace, workload: ImageWorkload, batch: int, sharing: WeightSharing
) -> tuple[HybridSupernet, Any, Tensor, Tensor]:
    torch.manual_seed(0)
    net = HybridSupernet(space, workload, sharing)
    x = torch.randn(batch, workload.in_channels, workload.image_size, workload.image_size)
    return net, torch.optim.AdamW(net.parameters()), x, torch.randint(workload.num_classes, (batch,))


def by_scheme(space: HybridSpace, archs: Sequence[Arch], batch: int) -> Iterator[str]:
    """Steps over the archs, the schemes in turns; of every scheme and arch the fastest round counts."""
    yield f"\nBy sharing scheme, 28x28 images, batch {batch}, {len(archs)} archs\n"
    yield "| sharing | parameters | images/s |"
    yield "|---|--:|--:|"
    settings = {scheme: setting(space, ImageWorkload(28, 1, 10), batch, scheme()) for scheme in SCHEMES}
    fastest = dict.fromkeys(SCHEMES, 0.0)
    for arch in archs:
        steps = {}
        for scheme, (net, optimizer, x, y) in settings.items():
            steps[scheme] = partial(training_step, net, optimizer, arch, x, y)
            steps[scheme]()
        rounds = [{scheme: seconds(step) for scheme, step in steps.items()} for _ in range(ROUNDS)]
        for scheme in SCHEMES:
            fastest[scheme] += min(times[scheme] for times in rounds)
    for scheme, (net, *_) in settings.items():
        rate = batch * len(archs) / fastest[scheme]
        yield f"| {scheme.name} | {sum(p.numel() for p in net.parameters()):,} | {rate:.0f} |"


def report() -> Iterator[str]:
    yield f"{datetime.now(UTC):%Y-%m-%d}, threads: {torch.get_num_threads()}, torch {torch.__version__}, " + (
        f"load {os.getloadavg()[0]:.1f}."
    )
    space = shipped_space("fashion_mnist")
    rng = np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(NUM_ARCHS)]
    yield from by_scheme(space, archs, 64)

    net, optimizer, x, y = setting(space, ImageWorkload(28, 1, 10), BATCH, Heterogeneous())
    yield f"\nBeside the published formulas, 28x28 images, batch {BATCH}\n"
    yield "| arch | ours, ms | published formulas, ms | ratio |"
    yield "|---|--:|--:|--:|"
    found = []
    for arch in archs:
        step = partial(training_step, net, optimizer, arch, x, y)
        step()
        ours = min(seconds(step) for _ in range(3))
        with published():
            theirs = min(seconds(step) for _ in range(2))
        found.append((ours, theirs))
        yield f"| {space.describe(arch)} | {1e3 * ours:.0f} | {1e3 * theirs:.0f} | {theirs / ours:.1f} |"
    total_ours, total_theirs = (sum(times) for times in zip(*found, strict=True))
    yield f"| all | {1e3 * total_ours:.0f} | {1e3 * total_theirs:.0f} | {total_theirs / total_ours:.1f} |"
    yield f"\nMedian ratio over the archs: {statistics.median(theirs / ours for ours, theirs in found):.1f}."

    space = shipped_space("hytra_hybrid")
    net, optimizer, x, y = setting(space, ImageWorkload(224, 3, 100), 2, Heterogeneous())
    arch = space.sample(np.random.default_rng(0))
    step = partial(training_step, net, optimizer, arch, x, y)
    peak = peak_mib(step)
    yield (
        f"\nOne step at full width, 224x224 images, batch 2, arch {space.describe(arch)}: {seconds(step):.1f} s; "
        f"it holds {peak:.0f} MiB beside {sum(p.numel() for p in net.parameters()) / 1e6:.1f} M parameters and the "
        f"optimiser's state."
    )


if __name__ == "__main__":
    for line in report():
        print(line, flush=True)
