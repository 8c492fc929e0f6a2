"""ONNX models: onnxruntime computes what the network computes, for every operator, arch, sharing scheme and batch."""

import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from networks import WORKLOAD, assert_same_logits, example, lively, mixed
from torch import nn

from shiftaddnas.errors import UserError
from shiftaddnas.export import ExportError, OnnxNetwork, export_onnx, onnx_model
from shiftaddnas.ops import AdderConv2d, ShiftConv2d
from shiftaddnas.sharing import SCHEMES
from tasks.image_classification import HybridSpace
from tasks.image_classification.supernet import HybridSupernet

onnx = pytest.importorskip("onnx")

# A layer, and the ONNX operators that it must consist of (beside shapes).
LAYERS = {
    "add": (AdderConv2d(4, 6, 3, 2, 1), {"Sub", "Abs", "ReduceSum", "Add", "Neg", "Pad", "Slice"}),
    "depthwise add": (AdderConv2d(4, 4, 3, 1, 1, groups=4, bias=False), {"Sub", "Abs", "Add", "Neg", "Pad", "Slice"}),
    "shift": (ShiftConv2d(4, 6, 3, 2, 1), {"Conv"}),
    "shift by exponents": (ShiftConv2d(4, 6, 3, 2, 1, form="ps"), {"Conv"}),
}
SHAPES = {"Reshape", "Squeeze", "Unsqueeze"}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_made_of_its_operators(name: str, tmp_path: Path) -> None:
    layer, operators = LAYERS[name]
    export_onnx(layer, [torch.randn(2, 4, 8, 8)], tmp_path / "layer.onnx")
    graph = onnx.load(tmp_path / "layer.onnx").graph
    assert {node.op_type for node in graph.node} - SHAPES == operators
    if name.startswith("shift"):
        (weight,) = (onnx.numpy_helper.to_array(one) for one in graph.initializer if len(one.dims) == 4)
        logarithms = torch.from_numpy(abs(weight[weight != 0])).log2()
        assert torch.equal(logarithms, logarithms.round())


@pytest.mark.parametrize("name", ["layers", pytest.param("digits", marks=pytest.mark.slow)])
def test_onnxruntime_gives_the_same_logits(name: str, digits_space: HybridSpace, tmp_path: Path) -> None:
    network, inputs = example(name, digits_space)
    export_onnx(network, [inputs], tmp_path / "network.onnx")
    exported = OnnxNetwork(tmp_path / "network.onnx")
    assert exported(inputs).std(0).min() > 1e-3
    for x in (inputs[:1], inputs, inputs.repeat(5, 1, 1, 1)):
        with torch.no_grad():
            assert_same_logits(exported(x), network(x))
    operators = Counter(node.op_type for node in onnx.load(tmp_path / "network.onnx").graph.node)
    assert operators["Sub"] == operators["Abs"] == {"layers": 9 + 9 + 1, "digits": 2 * (1 + 9 + 9 + 1)}[name]


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SCHEMES)
def test_what_every_sharing_scheme_extracts_is_exported(scheme: str, digits_space: HybridSpace, tmp_path: Path) -> None:
    torch.manual_seed(0)
    supernet = HybridSupernet(digits_space, WORKLOAD, SCHEMES[scheme]())
    arch, inputs = mixed(digits_space), torch.randn(32, 1, 8, 8)
    lively(supernet, inputs, arch)
    export_onnx(supernet.extract(arch), [inputs], tmp_path / "network.onnx")
    with torch.no_grad():
        logits = supernet(inputs, arch)
    assert logits.std(0).min() > 1e-3
    assert_same_logits(OnnxNetwork(tmp_path / "network.onnx")(inputs), logits)


def test_a_model_that_computes_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network = nn.Linear(3, 2)
    program = onnx_model.portable_program
    other = nn.Linear(3, 2)
    traced = onnx_model.trace(other, [torch.randn(2, 3)])
    monkeypatch.setattr(onnx_model, "portable_program", lambda _: program(traced))
    with pytest.raises(ExportError, match="the ONNX model differs"):
        export_onnx(network, [torch.randn(2, 3)], tmp_path / "network.onnx")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named_with_its_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r'onnxscript.*pip install "shiftaddnas\[export\]"'):
        export_onnx(nn.Linear(3, 2), [torch.randn(2, 3)], tmp_path / "network.onnx")


def test_a_large_layer_is_split_into_chunks_of_filters(tmp_path: Path) -> None:
    layer = AdderConv2d(64, 8, 1)  # 64 channels of 56x56: five filters at once
    inputs = torch.randn(2, 64, 56, 56)
    export_onnx(layer, [inputs], tmp_path / "layer.onnx")
    operators = Counter(node.op_type for node in onnx.load(tmp_path / "layer.onnx").graph.node)
    assert operators["Sub"] == operators["ReduceSum"] == 2
    with torch.no_grad():
        torch.testing.assert_close(OnnxNetwork(tmp_path / "layer.onnx")(inputs), layer(inputs), rtol=0, atol=1e-4)
