"""`torch.export` programs: portable, for any batch, and the network's own numbers."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from networks import EveryLayer, example
from torch import Tensor, nn

from shiftaddnas.errors import UserError
from shiftaddnas.export import ExportError, export_program, program
from shiftaddnas.export.trace import ADDER, trace
from shiftaddnas.ops import AdderConv2d, adder_conv2d
from shiftaddnas.ops.modules import QuantizedLayer
from tasks.image_classification import HybridSpace

# A process in which this framework cannot be imported.
ALONE = """
import sys
sys.modules["shiftaddnas"] = sys.modules["tasks"] = None
import torch
inputs, outputs = torch.load("data.pt", weights_only=True)
network = torch.export.load("network.pt2").module()
for x, y in zip(inputs, outputs):
    torch.testing.assert_close(network(x), y, rtol=0, atol=1e-4 * max(1, float(y.abs().max())))
"""


@pytest.mark.parametrize("name", ["layers", pytest.param("digits", marks=pytest.mark.slow)])
def test_a_program_runs_without_the_framework(name: str, digits_space: HybridSpace, tmp_path: Path) -> None:
    network, inputs = example(name, digits_space)
    export_program(network, [inputs], tmp_path / "network.pt2")
    batches = [inputs[:1], inputs, inputs.repeat(3, 1, 1, 1)]
    with torch.no_grad():
        torch.save((batches, [network(x) for x in batches]), tmp_path / "data.pt")
    subprocess.run([sys.executable, "-c", ALONE], cwd=tmp_path, check=True, timeout=120)


def test_weights_are_constants_and_adders_one_operator_each() -> None:
    graph = trace(EveryLayer(), [torch.randn(2, 4, 8, 8)]).graph
    functions = [node.target for node in graph.graph.nodes if node.op == "call_function"]
    assert functions.count(ADDER) == 3
    assert not {torch.ops.aten.round.default, torch.ops.aten.exp2.default, torch.ops.aten.log2.default} & {*functions}
    names = [name for name, _ in graph.named_buffers()]
    assert not any(name.endswith((".sign", ".shift")) for name in names)


def test_the_network_is_left_as_it_is() -> None:
    network = EveryLayer().double().train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    trace(network, [torch.randn(2, 4, 8, 8)])
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    for name, tensor in network.state_dict().items():
        assert tensor.dtype == before[name].dtype
        assert torch.equal(tensor, before[name])


def test_examples_must_show_which_size_varies() -> None:
    with pytest.raises(UserError, match="two or more"):
        trace(EveryLayer(), [torch.randn(1, 4, 8, 8)])


def test_fake_quantised_weights_are_constants_too() -> None:
    network = nn.Sequential(QuantizedLayer(AdderConv2d(3, 4, 3)), QuantizedLayer(nn.Conv2d(4, 2, 1)))
    inputs = torch.randn(2, 3, 8, 8)
    network(inputs)
    graph = trace(network, [inputs]).graph
    weights = {node.args[1].op for node in graph.graph.nodes if node.target in (ADDER, torch.ops.aten.conv2d.default)}
    assert weights == {"get_attr"}
    with torch.no_grad():
        program.portable_program(trace(network, [inputs]))
        torch.testing.assert_close(graph(inputs), network.eval()(inputs))


class KernelFromInput(nn.Module):
    def forward(self, x_BCHW: Tensor) -> Tensor:
        return adder_conv2d(x_BCHW, x_BCHW[:1])


def test_a_kernel_from_the_input_is_refused() -> None:
    with pytest.raises(UserError, match="fixed kernels"):
        trace(KernelFromInput(), [torch.randn(2, 3, 4, 4)])


class TwoOutputs(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, x + 1


def test_a_network_of_two_outputs_is_refused() -> None:
    with pytest.raises(UserError, match="one tensor"):
        trace(TwoOutputs(), [torch.randn(2, 3)])


def test_a_program_that_computes_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = program.portable_program(trace(nn.Linear(3, 2), [torch.randn(2, 3)]))
    monkeypatch.setattr(program, "portable_program", lambda _: wrong)
    with pytest.raises(ExportError, match="differs from the network"):
        export_program(nn.Linear(3, 2), [torch.randn(2, 3)], tmp_path / "network.pt2")
    assert not list(tmp_path.iterdir())


class TimeFirst(nn.Module):
    """A layer over (time, batch, features)."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = EveryLayer().mix

    def forward(self, x_TBC: Tensor) -> Tensor:
        y: Tensor = self.mix(x_TBC)
        return y


def test_the_batch_may_lie_on_another_axis(tmp_path: Path) -> None:
    network = TimeFirst()
    export_program(network, [torch.randn(5, 3, 8)], tmp_path / "network.pt2", batch_axis=1)
    x_TBC = torch.randn(5, 7, 8)
    y = torch.export.load(tmp_path / "network.pt2").module()(x_TBC)
    torch.testing.assert_close(y, network(x_TBC), rtol=0, atol=1e-4)
