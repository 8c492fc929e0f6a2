"""Every operator keeps the contract, and the contract's check notices who does not."""

from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from shiftaddnas.ops import OPERATORS, Add, Conv, KernelOperator, KernelShape, Shift, adder_conv2d, power_of_two
from shiftaddnas.ops.pair import IntPair
from shiftaddnas.testing.operators import check_operator

VARIANTS = (*(operator() for operator in OPERATORS.values()), Add(eta=0.2), Shift("ps"), Shift("q", 4))


@pytest.mark.parametrize("operator", VARIANTS, ids=str)
def test_contract(operator: KernelOperator) -> None:
    check_operator(operator)


def test_registry_goes_by_name() -> None:
    assert {name: operator.name for name, operator in OPERATORS.items()} == {
        "conv": "conv",
        "add": "add",
        "shift": "shift",
    }
    assert [operator.arithmetic for operator in OPERATORS.values()] == ["mult", "add", "shift"]


def test_operators_compute_their_function() -> None:
    generator = torch.Generator().manual_seed(0)
    x, w = torch.randn(2, 4, 7, 7, generator=generator), torch.randn(6, 2, 3, 3, generator=generator)
    torch.testing.assert_close(
        Conv().convolve(x, (w,), stride=2, padding=1, groups=2), F.conv2d(x, w, None, 2, 1, 1, 2)
    )
    torch.testing.assert_close(
        Add().convolve(x, (w,), stride=2, padding=1, groups=2), adder_conv2d(x, w, stride=2, padding=1, groups=2)
    )
    torch.testing.assert_close(
        Shift().convolve(x, (w,), padding=2, dilation=2, groups=2), F.conv2d(x, power_of_two(w), None, 1, 2, 2, 2)
    )


def test_scales_at_the_start() -> None:
    assert Add().target_std(72) == 1
    assert Conv().target_std(72) == Shift().target_std(72) == pytest.approx(1 / 6)
    assert [Conv().num_tensors, Add().num_tensors, Shift().num_tensors, Shift("ps").num_tensors] == [1, 1, 1, 2]


@dataclass(frozen=True)
class Broken(Conv):
    fault: str = ""

    def initial(self, shape: KernelShape, generator: torch.Generator | None = None) -> tuple[Tensor, ...]:
        (kernel,) = super().initial(shape, None if self.fault == "global state" else generator)
        return (kernel * 2 if self.fault == "scale" else kernel,)

    def convolve(
        self,
        x: Tensor,
        tensors: tuple[Tensor, ...],
        *,
        bias: Tensor | None = None,
        stride: IntPair = 1,
        padding: IntPair = 0,
        dilation: IntPair = 1,
        groups: int = 1,
    ) -> Tensor:
        if self.fault == "detached":
            tensors = tuple(tensor.detach() for tensor in tensors)
        if self.fault == "in place":
            tensors[0].data.clamp_(-0.1, 0.1)
        if self.fault == "dilation":
            dilation = 1
        if self.fault == "bias":
            bias = None
        if self.fault == "batch":
            x = x - x.mean(0, keepdim=True)
        return F.conv2d(x, tensors[0], bias, stride, padding, dilation, groups)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("global state", "draws from the generator only"),
        ("scale", "target_std"),
        ("detached", "reaches tensor 0"),
        ("in place", "leaves its arguments"),
        ("dilation", "the output is"),
        ("bias", "the bias is added"),
        ("batch", "images do not depend"),
    ],
)
def test_check_notices(fault: str, message: str) -> None:
    check_operator(Broken())
    with pytest.raises(AssertionError, match=message):
        check_operator(replace(Broken(), fault=fault))
