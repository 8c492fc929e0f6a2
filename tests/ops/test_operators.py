"""Every operator keeps the contract, and the contract's check notices who does not."""

import copy
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shiftaddnas.ops import (
    OPERATORS,
    Add,
    AdderConv2d,
    AdderLinear,
    Conv,
    FakeQuantize,
    KernelOperator,
    KernelShape,
    QuantizedLayer,
    Shift,
    ShiftConv2d,
    ShiftLinear,
    adder_conv2d,
    power_of_two,
)
from shiftaddnas.ops.pair import IntPair
from shiftaddnas.testing.operators import check_operator

VARIANTS = (
    *(operator() for operator in OPERATORS.values()),
    Add(eta=0.2),
    Shift("ps"),
    Shift("q", 4),
    Shift("ps", sign_threshold=0.3, act_fraction_bits=20, grad_bits=16),  # 16 would be coarser than the check allows
    Shift("q", act_fraction_bits=20),
)


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


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "AdderConv2d": lambda: AdderConv2d(4, 6, 3, 2, 1, groups=2),
    "ShiftConv2d q": lambda: ShiftConv2d(4, 6, 3, 2, 1, groups=2),
    "ShiftConv2d ps": lambda: ShiftConv2d(4, 6, 3, form="ps", sign_threshold=0.3, act_fraction_bits=16, grad_bits=16),
    "AdderLinear": lambda: AdderLinear(4, 6),
    "ShiftLinear q": lambda: ShiftLinear(4, 6, False),
    "ShiftLinear ps": lambda: ShiftLinear(4, 6, form="ps", act_fraction_bits=16, grad_bits=16),
    "FakeQuantize": lambda: FakeQuantize(8),
    "QuantizedLayer of a convolution": lambda: QuantizedLayer(nn.Conv2d(4, 6, 3)),
    "QuantizedLayer of an adder": lambda: QuantizedLayer(AdderLinear(4, 6)),
    "QuantizedLayer of a shift": lambda: QuantizedLayer(ShiftConv2d(4, 6, 3, form="ps")),
}


@pytest.fixture
def seeded() -> Iterator[None]:
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        yield


def trained(make: Callable[[], nn.Module]) -> tuple[nn.Module, Tensor]:
    """A layer that has seen a batch, and an input."""
    layer, x = make(), torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    torch.autograd.backward(layer(x.requires_grad_()).square().mean())
    with torch.no_grad():
        for parameter in layer.parameters():
            assert parameter.grad is not None
            parameter.sub_(parameter.grad, alpha=0.1)
    return layer, x.detach()


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_a_layer_survives_its_state_a_copy_and_a_pickle(make: Callable[[], nn.Module]) -> None:
    layer, x = trained(make)
    loaded = make()
    loaded.load_state_dict(layer.state_dict())
    expected = layer.eval()(x)
    for other in (loaded.eval(), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(other(x), expected)
        with torch.no_grad():
            for tensor in (*other.parameters(), *other.buffers()):
                tensor.fill_(1)
        assert torch.equal(layer(x), expected)


@pytest.mark.usefixtures("seeded")
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_a_layer_computes_and_learns_under_autocast(make: Callable[[], nn.Module]) -> None:
    layer, x = trained(make)
    results = []
    for mixed in (False, True):
        layer.zero_grad()
        inputs = x.clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=mixed):
            y = layer(inputs)
            loss = y.float().square().mean()
        torch.autograd.backward(loss)
        results.append([y.detach().float(), inputs.grad, *(parameter.grad for parameter in layer.parameters())])
    for full, half in zip(*results, strict=True):
        assert full is not None
        assert half is not None
        assert half.dtype == torch.float32
        # bfloat16 keeps 8 bits; 8 bits of gradient are drawn anew
        assert (half - full).norm() <= 0.05 * full.norm()


def test_a_parameter_that_layers_share_stays_one_through_copies() -> None:
    conv, shift = nn.Conv2d(3, 3, 3, bias=False), ShiftConv2d(3, 3, 3, bias=False)
    shift.weight = conv.weight
    net = nn.Sequential(conv, shift)
    for same in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        (parameter,) = same.parameters()
        assert parameter is same[0].weight is same[1].weight is not conv.weight
