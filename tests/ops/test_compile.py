"""Whole networks of all operators, compiled or exported: one graph, which computes and learns what eager mode does."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from shiftaddnas.ops import AdderConv2d, AdderLinear, QuantizedLayer, ShiftConv2d, ShiftLinear, force_adder_backend

Results = dict[str, Tensor]


def network() -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(0)
        stem, head = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.Linear(8, 4)
    # No bias before a batch norm: its gradient would be rounding errors alone.
    return nn.Sequential(
        stem,
        nn.BatchNorm2d(8),
        nn.ReLU(),
        AdderConv2d(8, 8, 3, padding=1, groups=8, bias=False, generator=generator),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        ShiftConv2d(8, 8, 3, 2, 1, form="ps", bias=False, act_fraction_bits=16, generator=generator),
        nn.BatchNorm2d(8),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        AdderLinear(8, 8, generator=generator),
        ShiftLinear(8, 8, generator=generator),
        head,
    )


def quantized_network() -> nn.Sequential:
    layers = (nn.Conv2d, nn.Linear, AdderConv2d, AdderLinear, ShiftConv2d, ShiftLinear)
    return nn.Sequential(*(QuantizedLayer(m) if isinstance(m, layers) else m for m in network()))


def trained_and_evaluated(net: nn.Module, backend: str | None) -> Results:
    """Outputs and gradients of a training step, statistics after it, and outputs in evaluation."""
    net = copy.deepcopy(net)
    function = net if backend is None else torch.compile(net, fullgraph=True, backend=backend)
    x = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1)).requires_grad_()
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(2)
        y = function(x)
        torch.autograd.backward(y, torch.randn(y.shape, generator=torch.Generator().manual_seed(3)))
    results = {"output": y.detach(), **{f"buffer {name}": buffer for name, buffer in net.named_buffers()}}
    for name, tensor in (("input", x), *net.named_parameters()):
        assert tensor.grad is not None, name
        assert tensor.grad.any(), name
        results[f"gradient of {name}"] = tensor.grad
    net.eval()
    with torch.no_grad():
        results["output in evaluation"] = function(x)
    return results


def compare(net: nn.Module, backend: str) -> None:
    torch.compiler.reset()
    eager, compiled = trained_and_evaluated(net, None), trained_and_evaluated(net, backend)
    assert list(compiled) == list(eager)
    for name, expected in eager.items():
        error = (compiled[name] - expected).double().norm()
        assert error <= 1e-4 * expected.double().norm(), name


@pytest.mark.slow
def test_a_network_of_all_operators() -> None:
    compare(network(), "inductor")


@pytest.mark.slow
def test_a_quantised_network_with_the_noise_of_eager_mode() -> None:
    # Compiled code draws other random numbers, as for nn.Dropout, except with this backend.
    compare(quantized_network(), "aot_eager")


@pytest.mark.slow
def test_a_quantised_network_exports_to_onnx(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    net = quantized_network()
    x = torch.randn(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    net(x)
    net.eval()
    with force_adder_backend("torch"):
        expected = net(x).detach()
        torch.onnx.export(net, (x,), tmp_path / "net.onnx", dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    # Where a value is halfway, another rounding error of the runtime's may take it to the next level.
    assert (torch.from_numpy(y) - expected).norm() <= 0.02 * expected.norm()
