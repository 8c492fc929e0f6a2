"""Which backend computes an adder layer: the best there is, what is forced, or an error that says what to do."""

import logging
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from shiftaddnas.errors import UserError
from shiftaddnas.ops import AdderConv2d, adder_conv2d, backend, force_adder_backend, native, unfolded
from shiftaddnas.ops.backend import adder_backend
from shiftaddnas.ops.native import UnavailableError
from shiftaddnas.ops.triton_kernels import launch


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for variable in ("SHIFTADDNAS_ADDER", "TRITON_INTERPRET"):
        monkeypatch.delenv(variable, raising=False)
    for cached in (backend._say, backend._why_unavailable):
        cached.cache_clear()
    yield
    for cached in (backend._say, backend._why_unavailable):
        cached.cache_clear()


def no_compiler() -> None:
    raise UnavailableError("there is no C compiler; install one")


def test_compiled_kernels_are_the_default(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert [adder_backend(), adder_backend()] == ["native", "native"]
    assert [record.getMessage() for record in caplog.records] == [
        "adder layers on the CPU are computed by compiled kernels"
    ]


def test_forced_by_the_environment_and_by_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIFTADDNAS_ADDER", "torch")
    assert adder_backend() == "torch"
    with force_adder_backend("native"):
        assert adder_backend() == "native"
        with force_adder_backend("torch"):
            assert adder_backend() == "torch"
        assert adder_backend() == "native"
    assert adder_backend() == "torch"


def test_without_a_compiler_the_default_falls_back_and_force_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backend, "load_library", no_compiler)
    assert [adder_backend(), adder_backend()] == ["torch", "torch"]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "there is no C compiler; install one" in record.getMessage()
    with force_adder_backend("native"), pytest.raises(UserError, match="there is no C compiler; install one"):
        adder_backend()


def test_triton_is_the_default_on_gpus(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(launch, "find_spec", lambda name: object())
    with caplog.at_level(logging.INFO):
        assert [adder_backend("cuda"), adder_backend("cuda")] == ["triton", "triton"]
        assert adder_backend("mps") == "torch"
    assert [record.getMessage() for record in caplog.records] == [
        "adder layers on the GPU are computed by Triton kernels",
        "adder layers on mps are computed by PyTorch",
    ]


def test_without_triton_gpus_fall_back_and_force_fails(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    assert [adder_backend("cuda"), adder_backend("cuda")] == ["torch", "torch"]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "adder layers on the GPU are computed by PyTorch" in record.getMessage()
    with force_adder_backend("triton"), pytest.raises(UserError, match="Triton is not installed"):
        adder_backend("cuda")


@pytest.mark.parametrize(("forced", "device"), [("triton", "cpu"), ("triton", "mps"), ("native", "cuda")])
def test_kernels_are_refused_where_they_do_not_run(
    forced: backend.AdderBackend, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "find_spec", lambda name: object())
    with force_adder_backend(forced), pytest.raises(UserError, match=f"SHIFTADDNAS_ADDER={forced}: .* on {device}; "):
        adder_backend(device)


def test_triton_computes_on_the_cpu_in_its_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, "find_spec", lambda name: object())
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    assert adder_backend() == "native"
    with force_adder_backend("triton"):
        assert adder_backend() == "triton"


def test_unknown_names_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIFTADDNAS_ADDER", "cuda")
    with pytest.raises(UserError, match="SHIFTADDNAS_ADDER=cuda is unknown"):
        adder_backend()


@pytest.mark.parametrize(
    ("forced", "dtype", "used"),
    [("native", torch.float32, "native"), ("torch", torch.float32, "torch"), ("native", torch.float64, "torch")],
)
def test_layers_use_the_backend(
    forced: backend.AdderBackend, dtype: torch.dtype, used: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def recorded(name: str, outputs: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda *arguments: calls.append(name) or outputs(*arguments)  # type: ignore[func-returns-value]

    monkeypatch.setattr(native, "outputs", recorded("native", native.outputs))
    monkeypatch.setattr(unfolded, "outputs", recorded("torch", unfolded.outputs))
    with force_adder_backend(forced):
        adder_conv2d(torch.zeros(1, 2, 3, 3, dtype=dtype), torch.zeros(2, 2, 1, 1, dtype=dtype))
    assert calls == [used]


def test_exporting_needs_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "load_library", no_compiler)
    layer = AdderConv2d(2, 3, 3)
    program = torch.export.export(layer, (torch.randn(1, 2, 5, 5),))
    operators = {str(node.target) for node in program.graph.nodes}
    assert "shiftaddnas.adder_outputs.default" in operators
