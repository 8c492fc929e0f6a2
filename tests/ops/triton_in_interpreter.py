"""The Triton kernels on the shapes that exercise their tiles; test_triton_kernels.py runs this in the interpreter."""

import pytest
import torch
from adder_problems import Problem, Shape, expected, problem
from torch import Tensor

from shiftaddnas.ops import triton_kernels, unfolded
from shiftaddnas.ops.triton_kernels import launch

SHAPES = (
    Shape(1, 1, 1, (1, 1), (1, 1)),
    Shape(3, 20, 25, (2, 2), (1, 1)),
    Shape(67, 4, 3, (2, 2), (3, 3), padding=1),
    Shape(2, 5, 33, (20, 17), (3, 3), padding=1),
    Shape(2, 17, 5, (20, 17), (3, 2), stride=2, padding=1),
    Shape(2, 3, 5, (31, 9), (7, 7), stride=(4, 2), padding=3),
    Shape(3, 4, 4, (19, 8), (5, 5), stride=2, padding=2, groups=4),
    Shape(1, 6, 12, (30, 21), (3, 3), stride=3, padding=2, dilation=2, groups=3),
    Shape(2, 4, 4, (9, 9), (1, 1), stride=4, groups=4),
    Shape(300, 33, 10, (1, 1), (1, 1)),
)


def computed(p: Problem) -> tuple[Tensor, Tensor, Tensor]:
    return (
        triton_kernels.outputs(p.x, p.weight, p.geometry),
        triton_kernels.input_gradient(p.x, p.weight, p.grad, p.geometry),
        triton_kernels.weight_gradient(p.x, p.weight, p.grad, p.geometry),
    )


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equal_to_the_pytorch_path(shape: Shape) -> None:
    p = problem(shape)
    for ours, theirs in zip(computed(p), expected(p), strict=True):
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("shape", SHAPES[4:6], ids=str)
def test_positions_may_be_counted_in_int64(shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    p = problem(shape)
    narrow = computed(p)
    monkeypatch.setattr(launch, "INT32_MAX", 0)
    assert all(torch.equal(a, b) for a, b in zip(narrow, computed(p), strict=True))


def test_an_image_does_not_depend_on_its_batch() -> None:
    p = problem(SHAPES[2])
    alone = Problem(p.x[5:6], p.weight, p.grad[5:6], p.geometry)
    for one, all_images in zip(computed(alone)[:2], computed(p)[:2], strict=True):
        assert torch.equal(one[0], all_images[5])


@pytest.mark.parametrize("size", [(4, 5), (7, 6)])
def test_any_layout_in_memory(size: tuple[int, int]) -> None:
    p = problem(Shape(3, 24, 16, size, (3, 3)))
    strided = Problem(
        p.x.to(memory_format=torch.channels_last),
        p.weight.transpose(0, 1).contiguous().transpose(0, 1),
        p.grad.sum((1, 2, 3), keepdim=True).expand_as(p.grad),
        p.geometry,
    )
    results = computed(strided)
    assert all(result.is_contiguous() for result in results[:2])  # as the custom operators promise
    for ours, theirs in zip(results, expected(strided), strict=True):
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


def test_an_empty_batch() -> None:
    p = problem(SHAPES[1])
    empty = Problem(p.x[:0], p.weight, p.grad[:0], p.geometry)
    y, grad_x, _ = computed(empty)
    assert y.shape == empty.grad.shape
    assert grad_x.shape == empty.x.shape


@pytest.mark.parametrize("groups", [1, 8])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_shows(value: float, groups: int) -> None:
    p = problem(Shape(2, 8, 8, (5, 5), (3, 3), padding=1, groups=groups))
    for tensor in (p.x, p.weight):
        kept = tensor.view(-1)[5].item()
        tensor.view(-1)[5] = value
        ours = triton_kernels.outputs(p.x, p.weight, p.geometry)
        torch.testing.assert_close(ours, unfolded.outputs(p.x, p.weight, p.geometry), equal_nan=True)
        tensor.view(-1)[5] = kept
    p.x.view(-1)[5] = value
    ours = triton_kernels.input_gradient(p.x, p.weight, p.grad, p.geometry)
    theirs = unfolded.input_gradient(p.x, p.weight, p.grad, p.geometry)
    torch.testing.assert_close(ours, theirs, equal_nan=True)
