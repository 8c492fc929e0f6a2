"""Two processes: a parameter that several operators share is one parameter, whose gradient is the mean of theirs."""

from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from shiftaddnas.ops import AdderConv2d, Precision, QuantizedLayer, ShiftConv2d

NUM_STEPS = 2
LEARNING_RATE = 0.1

# What each process runs: all operators, or each process others, of which none runs the shift.
EQUAL = (("conv", "quantized", "add", "shift"),) * 2
MIXED = (("conv", "add"), ("add", "quantized"))

State = dict[str, Tensor]


class SharedKernel(nn.Module):
    """Operators with one kernel for all, each with a bias of its own."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        kernel = nn.Parameter(0.3 * torch.randn(3, 3, 3, 3, generator=generator))
        layers: dict[str, nn.Module] = {
            "conv": nn.Conv2d(3, 3, 3, padding=1),
            "quantized": nn.Conv2d(3, 3, 3, padding=1),
            "add": AdderConv2d(3, 3, 3, padding=1),
            "shift": ShiftConv2d(3, 3, 3, padding=1, act_fraction_bits=16),
        }
        for layer in layers.values():
            layer.weight = kernel
            nn.init.zeros_(layer.get_parameter("bias"))
        layers["quantized"] = QuantizedLayer(layers["quantized"], Precision(8, None))
        self.layers = nn.ModuleDict(layers)

    def forward(self, x: Tensor, names: tuple[str, ...]) -> Tensor:
        for name in names:
            x = self.layers[name](x)
        return x.square().mean()


def images(rank: int, step: int) -> Tensor:
    return torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(10 * step + rank))


def gradients(net: nn.Module) -> dict[str, Tensor | None]:
    return {name: None if p.grad is None else p.grad.clone() for name, p in net.named_parameters()}


def process(rank: int, names: tuple[tuple[str, ...], ...], folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    net = SharedKernel()
    if rank == 1:
        with torch.no_grad():  # what DDP makes equal at its start
            next(net.parameters()).add_(1)
    replica = DistributedDataParallel(net, find_unused_parameters=names != EQUAL)
    optimizer = torch.optim.SGD(net.parameters(), LEARNING_RATE)
    steps = []
    for step in range(NUM_STEPS):
        optimizer.zero_grad()
        torch.autograd.backward(replica(images(rank, step), names[rank]))
        steps.append(gradients(net))
        optimizer.step()
    torch.save({"gradients": steps, "parameters": dict(net.named_parameters())}, folder / f"{rank}.pt")
    dist.destroy_process_group()


def mean_gradients(net: SharedKernel, step: int, names: tuple[tuple[str, ...], ...]) -> dict[str, Tensor | None]:
    """By one process: the mean over the two, of whom one that does not use a parameter counts as zero."""
    by_rank = []
    for rank in (0, 1):
        net.zero_grad()
        torch.autograd.backward(net(images(rank, step), names[rank]))
        by_rank.append(gradients(net))
    means: dict[str, Tensor | None] = {}
    for name in by_rank[0]:
        used = [grad for rank in (0, 1) if (grad := by_rank[rank][name]) is not None]
        means[name] = torch.stack(used).sum(0) / 2 if used else None
    return means


@pytest.mark.parametrize("names", [EQUAL, MIXED], ids=["all operators", "other operators in each process"])
def test_processes_share_gradients_and_stay_equal(names: tuple[tuple[str, ...], ...], tmp_path: Path) -> None:
    mp.spawn(process, (names, tmp_path), nprocs=2)  # type: ignore[attr-defined, no-untyped-call]
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    net = SharedKernel()
    assert len(list(net.parameters())) == 1 + 4
    optimizer = torch.optim.SGD(net.parameters(), LEARNING_RATE)
    for step in range(NUM_STEPS):
        expected = mean_gradients(net, step, names)
        assert [name for name, grad in expected.items() if grad is None] == (
            ["layers.shift.bias"] if names is MIXED else []
        )
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(ranks[0]["gradients"][step][name], expected[name], msg=name)
            parameter.grad = expected[name]
        optimizer.step()
    for name, parameter in net.named_parameters():
        assert torch.equal(ranks[0]["parameters"][name], ranks[1]["parameters"][name]), name
        torch.testing.assert_close(ranks[0]["parameters"][name], parameter, msg=name)
