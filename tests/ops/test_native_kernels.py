"""The compiled kernels against the PyTorch path in float64, on the shapes that exercise their tiles and vectors."""

import pytest
import torch
from adder_problems import Problem, Shape, expected, problem
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from shiftaddnas.ops import AdderConv2d, AdderLinear, adder_conv2d, force_adder_backend, native, unfolded

SHAPES = (
    Shape(1, 1, 1, (1, 1), (1, 1)),
    Shape(3, 20, 25, (2, 2), (1, 1)),
    Shape(67, 8, 16, (2, 2), (3, 3), padding=1),
    Shape(2, 5, 40, (40, 37), (3, 3), padding=1),
    Shape(2, 40, 5, (40, 37), (3, 2), stride=2, padding=1),
    Shape(2, 3, 17, (31, 9), (7, 7), stride=(4, 2), padding=3),
    Shape(3, 24, 24, (9, 8), (5, 5), stride=2, padding=2, groups=24),
    Shape(2, 6, 12, (70, 61), (3, 3), stride=3, padding=2, dilation=2, groups=3),
    Shape(2, 4, 4, (9, 9), (1, 1), stride=4, groups=4),
    Shape(2, 300, 20, (14, 14), (1, 1)),
    Shape(700, 33, 10, (1, 1), (1, 1)),
)


def computed(p: Problem) -> tuple[Tensor, Tensor, Tensor]:
    return (
        native.outputs(p.x, p.weight, p.geometry),
        native.input_gradient(p.x, p.weight, p.grad, p.geometry),
        native.weight_gradient(p.x, p.weight, p.grad, p.geometry),
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equal_to_the_pytorch_path(shape: Shape) -> None:
    p = problem(shape)
    for ours, theirs in zip(computed(p), expected(p), strict=True):
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_outputs_of_many_taps_are_exact_to_1e_5() -> None:
    p = problem(Shape(16, 256, 16, (3, 3), (3, 3)))
    exact = unfolded.outputs(p.x.double(), p.weight.double(), p.geometry)
    assert ((native.outputs(p.x, p.weight, p.geometry) - exact).abs() / exact.abs()).max() < 1e-5


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_same_bits_for_every_number_of_threads(shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    p = problem(shape)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2, 3, 8, 2):
            torch.set_num_threads(count)
            results.append(computed(p)[:2])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_an_image_does_not_depend_on_its_batch() -> None:
    p = problem(Shape(67, 8, 16, (2, 2), (3, 3), padding=1))
    alone = Problem(p.x[5:6], p.weight, p.grad[5:6], p.geometry)
    for one, all_images in zip(computed(alone)[:2], computed(p)[:2], strict=True):
        assert torch.equal(one[0], all_images[5])


def test_any_layout_in_memory() -> None:
    p = problem(Shape(3, 24, 16, (6, 5), (3, 3)))
    strided = Problem(
        p.x.to(memory_format=torch.channels_last),
        p.weight.transpose(0, 1).contiguous().transpose(0, 1),
        p.grad.sum((1, 2, 3), keepdim=True).expand_as(p.grad),
        p.geometry,
    )
    dense = Problem(p.x, p.weight, strided.grad.contiguous(), p.geometry)
    for ours, theirs in zip(computed(strided), expected(dense), strict=True):
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_an_empty_batch() -> None:
    y = native.outputs(torch.zeros(0, 4, 5, 5), torch.zeros(8, 4, 3, 3), problem(SHAPES[0]).geometry)
    assert y.shape == (0, 8, 1, 1)


@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_shows(value: float, groups: int) -> None:
    p = problem(Shape(2, 8, 8, (5, 5), (3, 3), padding=1, groups=groups))
    for tensor in (p.x, p.weight):
        kept = tensor.view(-1)[5].item()
        tensor.view(-1)[5] = value
        ours = native.outputs(p.x, p.weight, p.geometry)
        torch.testing.assert_close(ours, unfolded.outputs(p.x, p.weight, p.geometry), equal_nan=True)
        tensor.view(-1)[5] = kept
    p.x.view(-1)[5] = value
    ours = native.input_gradient(p.x, p.weight, p.grad, p.geometry)
    theirs = unfolded.input_gradient(p.x, p.weight, p.grad, p.geometry)
    torch.testing.assert_close(ours, theirs, equal_nan=True)


class Rows(Dataset[Tensor]):
    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Tensor:
        x = torch.full((64, 16, 8, 8), float(index))
        with force_adder_backend("native"):
            return adder_conv2d(x, torch.zeros(64, 16, 3, 3)).sum()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_worker_processes_compute_what_their_parent_does() -> None:
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        here = torch.stack([Rows()[i] for i in range(4)])
        there = torch.cat(list(DataLoader(Rows(), batch_size=2, num_workers=2, multiprocessing_context="fork")))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(there, here)


def test_a_network_exports_with_opaque_operators() -> None:
    with force_adder_backend("native"):
        net = nn.Sequential(AdderConv2d(3, 8, 3), AdderConv2d(8, 8, 3, groups=8), nn.Flatten(), AdderLinear(128, 4))
        x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        exported = torch.export.export(net, (x,)).module()
        assert torch.equal(exported(x), net(x))


@pytest.mark.slow
def test_torch_compile_of_a_network() -> None:
    with force_adder_backend("native"):
        generator = torch.Generator().manual_seed(0)
        net = nn.Sequential(
            AdderConv2d(3, 8, 3, padding=1, generator=generator),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            AdderConv2d(8, 8, 3, 2, 1, groups=8, generator=generator),
            nn.Flatten(),
            AdderLinear(128, 4, generator=generator),
        )
        x = torch.randn(4, 3, 8, 8, generator=generator)
        results = []
        for function in (net, torch.compile(net, fullgraph=True)):
            net.zero_grad()
            y = function(x)
            torch.autograd.backward(y.tanh().sum())
            results.append([y.detach(), *(p.grad for p in net.parameters())])
    for eager, compiled in zip(*results, strict=True):
        torch.testing.assert_close(compiled, eager, rtol=1e-4, atol=1e-4)
