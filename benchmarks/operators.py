"""How fast adder and shift layers are beside the convolution, and the map of the sharing scheme beside a loop.

`python benchmarks/operators.py` prints tables in Markdown. Every figure is a ratio, to the convolution of the same
shape unless it says otherwise, measured in turns in one process, and the median over rounds, so that other load on the
machine hits both alike. All is included: padding, unfolding, autograd.
"""

import ctypes
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from shiftaddnas.ops import Shift, ShiftForm, adder_conv2d, force_adder_backend
from shiftaddnas.ops.backend import AdderBackend
from shiftaddnas.sharing.maps import piecewise_linear

ROUNDS = 21
BUDGET = 2.0  # seconds for one way of one layer; one round at least
BROADCAST_ELEMENTS = 2**28  # of the broadcast formula's tensor: larger batches are cut, and their time scaled


class Shape(NamedTuple):
    name: str
    batch: int
    channels: int
    filters: int
    size: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1

    @property
    def padding(self) -> int:
        return self.kernel // 2


LARGE = (
    Shape("3x3, 64 > 64, 8x8", 32, 64, 64, 8, 3),
    Shape("3x3, 64 > 64, 56x56", 32, 64, 64, 56, 3),
    Shape("3x3, 128 > 128, 14x14", 32, 128, 128, 14, 3),
    Shape("1x1, 256 > 64, 14x14", 32, 256, 64, 14),
    Shape("depthwise 3x3, 128, 14x14", 32, 128, 128, 14, 3, groups=128),
    Shape("depthwise 3x3, 128, 56x56", 32, 128, 128, 56, 3, groups=128),
    Shape("linear, 512 > 512, 4096 tokens", 4096, 512, 512, 1),
)
SMALL = (
    Shape("1x1, 32 > 8, 8x8", 64, 32, 8, 8),
    Shape("3x3, 8 > 8, 8x8", 64, 8, 8, 8, 3),
    Shape("depthwise 3x3, 8, 8x8", 64, 8, 8, 8, 3, groups=8),
    Shape("depthwise 3x3, 64, 4x4", 64, 64, 64, 4, 3, groups=64),
    Shape("3x3 / 2, 32 > 64, 8x8", 64, 32, 64, 8, 3, 2),
    Shape("3x3 / 2, 64 > 128, 4x4", 64, 64, 128, 4, 3, 2),
    Shape("1x1, 128 > 32, 2x2", 64, 128, 32, 2),
)

MAP_SHAPE, MAP_BINS = (256, 256, 3, 3), 100

Layer = Callable[[Tensor, Tensor], Tensor]


def convolution(shape: Shape, x: Tensor, w: Tensor) -> Tensor:
    if shape.size == 1:
        return F.linear(x.flatten(1), w.flatten(1)).view(*x.shape[:1], -1, 1, 1)
    return F.conv2d(x, w, None, shape.stride, shape.padding, 1, shape.groups)


def adder(shape: Shape, backend: AdderBackend, x: Tensor, w: Tensor) -> Tensor:
    with force_adder_backend(backend):
        return adder_conv2d(x, w, stride=shape.stride, padding=shape.padding, groups=shape.groups)


def shift(shape: Shape, form: ShiftForm, x: Tensor, w: Tensor) -> Tensor:
    """The layer of one tensor ("q"), or of exponents and signs ("ps"), both made of the same one here."""
    operator = Shift(form)
    if shape.size == 1:
        return F.linear(x.flatten(1), operator.weight((w,) * operator.num_tensors).flatten(1)).view(
            *x.shape[:1], -1, 1, 1
        )
    return operator.convolve(
        x, (w,) * operator.num_tensors, stride=shape.stride, padding=shape.padding, groups=shape.groups
    )


def columns(shape: Shape, x: Tensor) -> Tensor:
    """(B, L, G, K) patches."""
    unfolded = F.unfold(x, shape.kernel, 1, shape.padding, shape.stride)
    return unfolded.transpose(1, 2).reshape(len(x), -1, shape.groups, unfolded.shape[1] // shape.groups)


def convolution_by_columns(shape: Shape, x: Tensor, w: Tensor) -> Tensor:
    return torch.einsum("blgk,gfk->blgf", columns(shape, x), w.view(shape.groups, -1, w[0].numel()))


def distance(shape: Shape, x: Tensor, w: Tensor) -> Tensor:
    return -torch.cdist(columns(shape, x).flatten(0, 2), w.flatten(1), p=1)


def broadcast(shape: Shape, x: Tensor, w: Tensor) -> Tensor:
    """The published formula, which holds (outputs x positions x taps) elements."""
    patches = columns(shape, x).unsqueeze(3)
    return -(patches - w.view(shape.groups, -1, w[0].numel())).abs().sum(-1)


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def training_step(layer: Layer, x: Tensor, w: Tensor) -> None:
    y = layer(x.requires_grad_(), w.requires_grad_())
    torch.autograd.grad(y, (x, w), y.detach())


def inference(layer: Layer, x: Tensor, w: Tensor) -> None:
    with torch.no_grad():
        layer(x, w)


def ratios(reference: Callable[[], None], others: list[Callable[[], None]]) -> tuple[float, list[float]]:
    """The reference's median seconds, and each other's median ratio to it, over ROUNDS or what BUDGET allows."""
    times: list[float] = []
    found: list[list[float]] = [[] for _ in others]
    spent = [seconds(other) for other in others]
    calls = max(1, min(20, int(0.003 / min(seconds(reference) for _ in range(3)))))  # of what is short, several
    for _ in range(ROUNDS):
        times.append(min(seconds(reference) for _ in range(calls)))
        for i, other in enumerate(others):
            if spent[i] < BUDGET or not found[i]:
                took = [seconds(other) for _ in range(calls)]
                found[i].append(min(took) / times[-1])
                spent[i] += sum(took)
    return statistics.median(times), [statistics.median(ratio) for ratio in found]


def tensors(shape: Shape, batch: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, shape.channels, shape.size, shape.size, generator=generator)
    kernel = shape.filters, shape.channels // shape.groups, shape.kernel, shape.kernel
    return x, torch.randn(kernel, generator=generator)


def row(shape: Shape) -> str:
    x, w = tensors(shape, shape.batch)
    conv, native, torch_path = (
        partial(convolution, shape),
        partial(adder, shape, "native"),
        partial(adder, shape, "torch"),
    )
    elements = w.numel() * ((shape.size - 1) // shape.stride + 1) ** 2
    part = x[: max(1, min(shape.batch, BROADCAST_ELEMENTS // elements))]
    forward = [(native, x), (torch_path, x), (partial(broadcast, shape), part)]
    if shape.groups == 1:
        forward.append((partial(distance, shape), x))
    ms, (ours, ours_torch, published, *cdist) = ratios(
        partial(inference, conv, x, w), [partial(inference, layer, inputs, w) for layer, inputs in forward]
    )
    published *= shape.batch / len(part)
    step_ms, (step, step_torch) = ratios(
        partial(training_step, conv, x, w), [partial(training_step, layer, x, w) for layer in (native, torch_path)]
    )
    cells = [f"{1e3 * ms:.2f}", f"{ours:.2f}", f"{ours_torch:.1f}", f"{cdist[0]:.0f}" if cdist else "-"]
    cells += [f"{published:.0f}", f"{published / ours:.0f}", f"{1e3 * step_ms:.2f}", f"{step:.2f}", f"{step_torch:.1f}"]
    return " | ".join([f"| {shape.name}", *cells]) + " |"


def shift_row(shape: Shape) -> str:
    x, w = tensors(shape, shape.batch)
    layers = partial(convolution, shape), partial(shift, shape, "q"), partial(shift, shape, "ps")
    cells = []
    for run in (inference, training_step):
        ms, others = ratios(partial(run, layers[0], x, w), [partial(run, layer, x, w) for layer in layers[1:]])
        cells += [f"{1e3 * ms:.2f}", *(f"{ratio:.2f}" for ratio in others)]
    return " | ".join([f"| {shape.name}", *cells]) + " |"


def map_by_bins(w: Tensor, slopes: Tensor) -> Tensor:
    """The published map: a pass over the whole kernel for each bin."""
    low, high = w.detach().aminmax()
    width = (high - low) / len(slopes)
    mapped = torch.zeros_like(w)
    for index, slope in enumerate(slopes):
        inside = (w >= low + index * width) & (w < low + (index + 1) * width)
        mapped = mapped + slope * w * inside
    return mapped


def map_ratio() -> tuple[float, float]:
    """Milliseconds of the map, forward and backward, and how many times as long the loop over the bins takes."""
    generator = torch.Generator().manual_seed(0)
    w, slopes = torch.randn(MAP_SHAPE, generator=generator), torch.randn(MAP_BINS, generator=generator)
    ours, (loop,) = ratios(
        partial(training_step, piecewise_linear, w, slopes), [partial(training_step, map_by_bins, w, slopes)]
    )
    return 1e3 * ours, loop


def peak_mib(call: Callable[[], None]) -> float:
    """The most memory that a call held beyond what was there before (Linux)."""
    call()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = status_kib("VmRSS")
    call()
    return max(0, status_kib("VmHWM") - before) / 1024


def status_kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field))


def memory_row(shape: Shape) -> str:
    x, w = tensors(shape, shape.batch)
    layers = (
        partial(convolution, shape),
        partial(convolution_by_columns, shape),
        partial(adder, shape, "native"),
        partial(adder, shape, "torch"),
    )
    return " | ".join([f"| {shape.name}", *(f"{peak_mib(partial(training_step, f, x, w)):.0f}" for f in layers)]) + " |"


def report() -> Iterator[str]:
    cpu = [
        line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if line.startswith("model name")
    ]
    yield f"{datetime.now(UTC):%Y-%m-%d}, {cpu[0].partition(': ')[2] if cpu else platform.machine()}, " + (
        f"{torch.backends.cpu.get_cpu_capability()}, threads: {torch.get_num_threads()}, torch {torch.__version__}, "
        f"load {os.getloadavg()[0]:.1f}."
    )
    for title, shapes in (("Large layers", LARGE), ("Small layers", SMALL)):
        yield f"\n{title}: milliseconds of the convolution, then ratios to it\n"
        yield "| layer | forward: conv, ms | native | torch | cdist | broadcast | broadcast / native " + (
            "| training step: conv, ms | native | torch |"
        )
        yield "|---|" + "--:|" * 9
        yield from (row(shape) for shape in shapes)
    yield "\nShift layers: milliseconds of the convolution, then ratios to it\n"
    yield "| layer | forward: conv, ms | q | ps | training step: conv, ms | q | ps |"
    yield "|---|" + "--:|" * 6
    yield from (shift_row(shape) for shape in LARGE)
    ms, loop = map_ratio()
    yield (
        f"\nThe piecewise map of a {'x'.join(map(str, MAP_SHAPE))} kernel with {MAP_BINS} bins, forward and backward: "
        f"{ms:.2f} ms; a loop over the bins takes {loop:.0f} times as long."
    )
    yield "\nMiB that a training step holds at most, beside its arguments\n"
    yield "| layer | conv | conv by unfold | native | torch |"
    yield "|---|" + "--:|" * 4
    yield from (memory_row(shape) for shape in LARGE)


if __name__ == "__main__":
    for line in report():
        print(line, flush=True)
