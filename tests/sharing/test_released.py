"""The released code's sharing: toy values by hand, who gets gradients, and its divergence by Monte Carlo in numpy."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from scipy import special

from shiftaddnas.errors import UserError
from shiftaddnas.ops import Add, Conv, KernelOperator, KernelShape, Shift
from shiftaddnas.sharing import Released, SlotKernels, piecewise_linear
from shiftaddnas.sharing.released import distance_to_laplace_sample

SHAPES: dict[str, KernelShape] = {"conv1": (8, 16, 1, 1), "conv2": (8, 8, 3, 3)}
W = 8 * 16 + 8 * 8 * 3 * 3
ROUNDED: dict[str, KernelOperator] = {"conv": Conv(), "add": Add(), "shift": Shift()}
EXPONENTS: dict[str, KernelOperator] = {"conv": Conv(), "add": Add(), "shift": Shift("ps")}


def slot(sharing: Released, operators: Mapping[str, KernelOperator] = ROUNDED) -> SlotKernels:
    return sharing.slot(operators, SHAPES, torch.Generator().manual_seed(0))


def num_params(kernels: SlotKernels) -> int:
    return sum(parameter.numel() for parameter in kernels.parameters())


def reached(kernels: SlotKernels, operator: str) -> set[str]:
    """The parameters that get a gradient from an operator's kernels."""
    kernels.zero_grad(set_to_none=True)
    for kernel in SHAPES:
        for tensor in kernels.weights(operator, kernel):
            if tensor.requires_grad:
                torch.autograd.backward(tensor, torch.ones_like(tensor))
    return {name for name, parameter in kernels.named_parameters() if parameter.grad is not None}


def test_an_open_top_edge_loses_the_greatest_element() -> None:
    w, slopes = torch.tensor([-2, -1, -0.5, 0.25, 1, 2]), torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert piecewise_linear(w, slopes, top_edge="open").tolist() == [-2, -2, -1, 0.75, 4, 0]


def test_the_greatest_element_has_no_gradient_at_an_open_edge() -> None:
    w, slopes = torch.tensor([-1.0, 0.5, 1.0]).requires_grad_(), torch.tensor([2.0, 3.0]).requires_grad_()
    torch.autograd.backward(piecewise_linear(w, slopes, top_edge="open"), torch.ones(3))
    assert w.grad is not None
    assert slopes.grad is not None
    assert w.grad.tolist() == [2, 3, 0]
    assert slopes.grad.tolist() == [-1, 0.5]


def test_kernels_are_mapped_by_their_slopes() -> None:
    kernels = slot(Released(num_bins=1))
    with torch.no_grad():
        kernels.get_parameter("slopes.add.conv1.0").fill_(3)
    (conv,), (add,) = kernels.weights("conv", "conv1"), kernels.weights("add", "conv1")
    is_greatest = conv == conv.max()
    assert is_greatest.sum() == 1
    assert torch.equal(add, torch.where(is_greatest, 0, 3 * conv))
    (kept,) = slot(Released(top_edge="closed")).weights("add", "conv1")
    assert kept[is_greatest].item() != 0


@pytest.mark.parametrize(("initial_std", "std"), [("one", 1.0), ("fan_in", (2 / 72) ** 0.5)])
def test_shared_kernels_start_at_their_deviation(initial_std: str, std: float) -> None:
    (kernel,) = slot(Released(initial_std=initial_std)).weights("conv", "conv2")  # type: ignore[arg-type]
    assert kernel.std().item() == pytest.approx(std, rel=0.1)


def test_slopes_start_from_a_standard_normal_distribution() -> None:
    slopes: list[torch.Tensor] = [p for name, p in slot(Released(num_bins=1000)).named_parameters() if "slopes" in name]
    assert len(slopes) == 4
    drawn = torch.cat(slopes)
    assert drawn.mean().item() == pytest.approx(0, abs=0.05)
    assert drawn.std().item() == pytest.approx(1, abs=0.05)
    assert all(parameter.ndim == 1 for parameter in slopes)  # which weight decay leaves alone


@pytest.mark.parametrize(
    ("sharing", "operators", "expected"),
    [
        (Released(operators=("conv",)), ROUNDED, 3 * W),
        (Released(operators=("conv",)), EXPONENTS, 4 * W),
        (Released(operators=("conv", "add")), EXPONENTS, 3 * W + 2 * 100),
        (Released(), ROUNDED, W + 2 * 2 * 100),
        (Released(), EXPONENTS, W + 2 * 100 + 2 * 200),
        (Released(signs="own"), EXPONENTS, 2 * W + 2 * 2 * 100),
        (Released(min_slopes=6), ROUNDED, W + 2 * 6 * 100),
        (Released(min_slopes=6), EXPONENTS, W + 6 * 100 + 6 * 200),
    ],
    ids=str,
)
def test_number_of_parameters(sharing: Released, operators: dict[str, KernelOperator], expected: int) -> None:
    assert num_params(slot(sharing, operators)) == expected


def test_only_conv_and_who_else_is_named_share() -> None:
    kernels = slot(Released(operators=("conv",)), EXPONENTS)
    assert reached(kernels, "conv") == {"shared.conv1", "shared.conv2"}
    assert reached(kernels, "add") == {"own.own.add.conv1.0", "own.own.add.conv2.0"}
    assert kernels.divergence("add", "conv1") is None
    (conv,) = kernels.weights("conv", "conv2")
    assert conv.std().item() == pytest.approx(1, abs=0.1)


def test_a_detached_shift_teaches_its_maps_alone() -> None:
    kernels = slot(Released(detach_shift=True), EXPONENTS)
    assert reached(kernels, "shift") == {f"slopes.shift.conv{i}.{j}" for i in (1, 2) for j in (0, 1)}
    assert reached(kernels, "add") == {"shared.conv1", "shared.conv2", "slopes.add.conv1.0", "slopes.add.conv2.0"}
    exponents, signs = kernels.weights("shift", "conv1")
    assert not torch.equal(exponents, signs)


def test_an_attached_shift_teaches_the_kernel_too() -> None:
    assert "shared.conv2" in reached(slot(Released(detach_shift=False)), "shift")


def test_own_signs_are_parameters_between_minus_one_and_one() -> None:
    kernels = slot(Released(detach_shift=True, signs="own"), EXPONENTS)
    names = {"slopes.shift.conv1.0", "slopes.shift.conv2.0", "signs.conv1", "signs.conv2"}
    assert reached(kernels, "shift") == names
    _, signs = kernels.weights("shift", "conv2")
    assert signs.abs().max() <= 1
    assert signs.std().item() == pytest.approx(3**-0.5, rel=0.1)
    assert names < {
        name for name, p in kernels.named_parameters() if id(p) in set(map(id, kernels.parameters_of("shift")))
    }


def test_only_add_has_a_divergence_and_the_penalty_is_the_weighted_sum() -> None:
    kernels = slot(Released())
    assert kernels.divergence("conv", "conv1") is None
    assert kernels.divergence("shift", "conv1") is None
    assert kernels.divergence("add", "conv1") is not None
    assert Released().penalty([torch.tensor(0.5), torch.tensor(0.25)]).item() == 7.5


def test_divergence_is_that_of_two_softmaxes_by_position() -> None:
    """The mean over samples, in numpy: KL(q || p) / n, q the softmax of Laplace(0, 2), p that of the kernel."""
    kernel = torch.randn(40, 50, generator=torch.Generator().manual_seed(0))
    rng = np.random.default_rng(0)
    log_p = special.log_softmax(kernel.numpy().ravel())
    log_q = special.log_softmax(rng.laplace(0, 2, (1000, 2000)), axis=1)
    expected = (np.exp(log_q) * (log_q - log_p)).mean(1)
    torch.manual_seed(0)
    found = np.array([distance_to_laplace_sample(kernel).item() for _ in range(1000)])
    assert found.mean() == pytest.approx(expected.mean(), rel=0.03)
    assert found.std() == pytest.approx(expected.std(), rel=0.15)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("operators", ()),
        ("operators", ("attention",)),
        ("num_bins", 0),
        ("divergence_weight", -1.0),
        ("min_slopes", -1),
    ],
)
def test_wrong_settings_are_named(setting: str, value: object) -> None:
    with pytest.raises(UserError, match=rf"sharing\.{setting}="):
        Released(**{setting: value})  # type: ignore[arg-type]
