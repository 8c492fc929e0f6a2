"""What every operator must keep, as a check that the author of one can run: `check_operator(MyOperator())`."""

import copy
import pickle
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from shiftaddnas.hardware.layer import Arithmetic
from shiftaddnas.ops import Distribution, KernelOperator, KernelShape, fan_in

_LARGE: KernelShape = (64, 32, 3, 3)


def check_operator(operator: KernelOperator) -> None:
    """Raise an AssertionError that names the contract, if the operator breaks one."""
    _check_value(operator)
    _check_initial(operator)
    _check_target(operator.target)
    for stride, padding, dilation, groups in ((1, 0, 1, 1), (2, 1, 1, 1), (1, 2, 2, 2), (3, 1, 1, 8)):
        _check_convolve(operator, stride, padding, dilation, groups)


def _check_value(operator: KernelOperator) -> None:
    assert operator.name, "an operator has a name"
    assert operator.arithmetic in get_args(Arithmetic), f"arithmetic {operator.arithmetic!r} is unknown to cost models"
    assert pickle.loads(pickle.dumps(operator)) == operator, "an operator is a plain value: pickling returns an equal"
    assert hash(copy.deepcopy(operator)) == hash(operator), "an operator is a plain value: equal ones hash alike"


def _check_initial(operator: KernelOperator) -> None:
    state = torch.get_rng_state()
    tensors = operator.initial(_LARGE, torch.Generator().manual_seed(1))
    again = operator.initial(_LARGE, torch.Generator().manual_seed(1))
    other = operator.initial(_LARGE, torch.Generator().manual_seed(2))
    assert torch.equal(state, torch.get_rng_state()), "initial(shape, generator) draws from the generator only"
    assert len(tensors) == operator.num_tensors, "initial() returns num_tensors tensors"
    for tensor, same, different in zip(tensors, again, other, strict=True):
        assert tensor.shape == _LARGE, f"initial tensors have the kernel's shape, not {tuple(tensor.shape)}"
        assert tensor.isfinite().all(), "initial tensors are finite"
        assert torch.equal(tensor, same), "initial() is deterministic under its generator"
        assert not torch.equal(tensor, different), "initial() depends on its generator"
    if len(tensors) == 1:
        std, target = tensors[0].std().item(), operator.target_std(fan_in(_LARGE))
        assert abs(std / target - 1) < 0.05, f"initial kernels have deviation {std:.4f}, target_std() says {target:.4f}"


def _check_target(target: Distribution) -> None:
    z = torch.linspace(-8, 8, 161)
    mapped = target.from_gaussian(z)
    assert mapped.isfinite().all(), "from_gaussian() is finite in float32 up to 8 deviations"
    assert (mapped.diff() > 0).all(), "from_gaussian() is increasing"
    middle = z[z.abs() < 4].double()
    expected = target.quantile(torch.special.ndtr(middle))
    assert torch.allclose(target.from_gaussian(middle), expected, atol=1e-6), "from_gaussian(z) is quantile(Phi(z))"
    quantiles = target.quantiles(10_000, like=z.double())
    assert quantiles.mean().abs() < 1e-6, "the target's mean is 0"
    assert (quantiles.square().mean() - 1).abs() < 0.01, "the target's variance is 1"


def _check_convolve(operator: KernelOperator, stride: int, padding: int, dilation: int, groups: int) -> None:
    where = f"at stride {stride}, padding {padding}, dilation {dilation}, groups {groups}"
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, 8, 9, 7, generator=generator).requires_grad_()
    tensors = tuple(tensor.requires_grad_() for tensor in operator.initial((8, 8 // groups, 3, 3), generator))
    bias = torch.randn(8, generator=generator).requires_grad_()
    before = [tensor.detach().clone() for tensor in (x, *tensors)]

    def convolve(x: Tensor, bias: Tensor | None) -> Tensor:
        return operator.convolve(
            x, tensors, bias=bias, stride=stride, padding=padding, dilation=dilation, groups=groups
        )

    y = convolve(x, bias)
    expected = F.conv2d(x, torch.empty(8, 8 // groups, 3, 3), None, stride, padding, dilation, groups).shape
    assert y.shape == expected, f"{where} the output is {tuple(y.shape)}, a convolution's {tuple(expected)}"
    assert y.isfinite().all(), f"{where} the output is finite"
    assert torch.allclose(y, convolve(x, None) + bias.view(-1, 1, 1), atol=1e-4), f"{where} the bias is added"
    assert torch.allclose(y[1:], convolve(x[1:], bias), atol=1e-4), f"{where} images do not depend on each other"
    torch.autograd.backward(y, torch.randn(y.shape, generator=generator))
    for name, tensor in (("the input", x), ("the bias", bias), *((f"tensor {i}", t) for i, t in enumerate(tensors))):
        assert tensor.grad is not None, f"{where} the gradient reaches {name}"
        assert tensor.grad.isfinite().all(), f"{where} the gradient of {name} is finite"
        assert tensor.grad.any(), f"{where} the gradient of {name} is not zero"
    for tensor, saved in zip((x, *tensors), before, strict=True):
        assert torch.equal(tensor, saved), f"{where} convolve() leaves its arguments as they are"
