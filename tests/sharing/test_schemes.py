"""Every scheme keeps the contract; what each shares, counted by hand; and the check notices who does not."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from shiftaddnas.errors import UserError
from shiftaddnas.ops import Add, Conv, KernelOperator, KernelShape, Shift
from shiftaddnas.sharing import SCHEMES, Heterogeneous, Independent, Quantile, Shared, SlotKernels, WeightSharing
from shiftaddnas.sharing.kernels import OwnKernels
from shiftaddnas.testing.sharing import check_sharing

OPERATORS: dict[str, KernelOperator] = {"conv": Conv(), "add": Add(), "shift": Shift()}
SHAPES: dict[str, KernelShape] = {"conv1": (8, 16, 1, 1), "conv2": (8, 8, 3, 3)}
W = 8 * 16 + 8 * 8 * 3 * 3


def slot(scheme: WeightSharing, operators: Mapping[str, KernelOperator] = OPERATORS) -> SlotKernels:
    return scheme.slot(operators, SHAPES, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("scheme", [*(scheme() for scheme in SCHEMES.values()), Heterogeneous(num_bins=3)], ids=str)
def test_contract(scheme: WeightSharing) -> None:
    check_sharing(scheme)


def test_registry_goes_by_name() -> None:
    assert {name: scheme.name for name, scheme in SCHEMES.items()} == {name: name for name in SCHEMES}
    assert list(SCHEMES) == ["independent", "shared", "heterogeneous", "quantile", "released"]


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        (Independent(), 3 * W),
        (Shared(), W),
        (Heterogeneous(num_bins=10), W + 2 * 2 * (10 + 1)),
        (Quantile(), W + 2 * 2),
    ],
    ids=str,
)
def test_number_of_parameters(scheme: WeightSharing, expected: int) -> None:
    kernels = slot(scheme)
    assert sum(parameter.numel() for parameter in kernels.parameters()) == expected
    assert sum(tensor.numel() for tensor in kernels.state_dict().values()) == expected


def test_independent_exponents_and_signs_are_two_tensors() -> None:
    kernels = slot(Independent(), {"conv": Conv(), "shift": Shift("ps")})
    assert sum(parameter.numel() for parameter in kernels.parameters()) == 3 * W
    assert [tensor.shape for tensor in kernels.weights("shift", "conv2")] == [SHAPES["conv2"]] * 2


@pytest.mark.parametrize("scheme", [Shared(), Heterogeneous(), Quantile()], ids=str)
def test_exponents_and_signs_cannot_be_shared(scheme: WeightSharing) -> None:
    with pytest.raises(UserError, match=r"use sharing=independent or space\.shift_form=q"):
        slot(scheme, {"conv": Conv(), "shift": Shift("ps")})


@pytest.mark.parametrize("scheme", [Shared(), Heterogeneous(), Quantile()], ids=str)
def test_a_single_operator_has_its_own_kernel_and_no_map(scheme: WeightSharing) -> None:
    kernels = slot(scheme, {"add": Add()})
    assert sum(parameter.numel() for parameter in kernels.parameters()) == W
    assert kernels.weights("add", "conv2")[0].std().item() == pytest.approx(1, abs=0.1)
    assert kernels.divergence("add", "conv2") is None


def test_shared_operators_read_one_tensor() -> None:
    kernels = slot(Shared())
    conv, add, shift = (kernels.weights(name, "conv1")[0] for name in OPERATORS)
    assert conv is add is shift


@pytest.mark.parametrize("scheme", [Heterogeneous(), Quantile()], ids=str)
def test_mapped_schemes_give_the_convolution_the_kernel_as_it_is(scheme: WeightSharing) -> None:
    kernels = slot(scheme)
    (conv,), (add,) = kernels.weights("conv", "conv2"), kernels.weights("add", "conv2")
    assert isinstance(conv, nn.Parameter)
    assert conv.std().item() == pytest.approx(1 / 6, rel=0.1)
    assert add.std(correction=0).item() == pytest.approx(1, rel=1e-5)
    assert kernels.divergence("conv", "conv2") is None


@pytest.mark.parametrize(
    ("scheme", "mapped"), [(Heterogeneous(num_bins=10), 2 * (10 + 1)), (Quantile(), 2), (Shared(), 0)], ids=str
)
def test_what_each_operator_depends_on(scheme: WeightSharing, mapped: int) -> None:
    kernels = slot(scheme)
    counts = [sum(parameter.numel() for parameter in kernels.parameters_of(name)) for name in OPERATORS]
    assert counts == [W, W + mapped, W + mapped]


def test_divergence_reaches_slopes_and_kernel_but_not_the_gain() -> None:
    kernels = slot(Heterogeneous())
    term = kernels.divergence("add", "conv1")
    assert term is not None
    torch.autograd.backward(term)
    reached = {name for name, parameter in kernels.named_parameters() if parameter.grad is not None}
    assert reached == {"shared.conv1", "maps.add.conv1.slopes"}


def test_wrong_settings_are_named() -> None:
    with pytest.raises(UserError, match="num_bins=0"):
        Heterogeneous(num_bins=0)
    for build in (lambda: Heterogeneous(divergence_weight=-1.0), lambda: Quantile(divergence_weight=float("nan"))):
        with pytest.raises(UserError, match="divergence_weight"):
            build()


class BrokenKernels(OwnKernels):
    """Own kernels plus an offset that all operators share, with one fault."""

    def __init__(
        self,
        operators: Mapping[str, KernelOperator],
        shapes: Mapping[str, KernelShape],
        generator: torch.Generator | None,
        fault: str,
    ) -> None:
        super().__init__(operators, shapes, None if fault == "global state" else generator)
        self.offset = nn.Parameter(torch.zeros(()))
        self.fault = fault

    def weights(self, operator: str, kernel: str) -> tuple[Tensor, ...]:
        (kernel_tensor,) = super().weights(operator, kernel)
        if self.fault == "untracked state":
            kernel_tensor = kernel_tensor * self.__dict__.setdefault("scale", torch.rand(()).item())
        offset = self.offset.detach() if self.fault == "detached" else self.offset
        return (kernel_tensor + offset,)

    def parameters_of(self, operator: str) -> Iterator[nn.Parameter]:
        yield from super().parameters_of(operator)
        if self.fault != "incomplete" or operator == "conv":
            yield self.offset
        if self.fault == "unrelated" and operator == "add":
            yield from (p for name, p in self.named_parameters() if name.startswith("own.conv"))


@dataclass(frozen=True)
class BrokenScheme(WeightSharing):
    fault: str = ""
    name = "broken"

    @property
    def divergence_weight(self) -> float:
        return 1.0 if self.fault == "no divergence" else 0.0

    def slot(
        self,
        operators: Mapping[str, KernelOperator],
        shapes: Mapping[str, KernelShape],
        generator: torch.Generator | None = None,
    ) -> SlotKernels:
        return BrokenKernels(operators, shapes, generator, self.fault)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("global state", "draws from the generator only"),
        ("untracked state", "deterministic under its generator"),
        ("detached", "reaches offset"),
        ("incomplete", "leave the gradient of offset None"),
        ("unrelated", "reaches own.conv"),
        ("no divergence", "has divergences"),
    ],
)
def test_check_notices(fault: str, message: str) -> None:
    check_sharing(BrokenScheme())
    with pytest.raises(AssertionError, match=message):
        check_sharing(BrokenScheme(fault))
