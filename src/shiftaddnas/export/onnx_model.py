"""ONNX: a network as a model for other runtimes, checked against the network in onnxruntime."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from shiftaddnas.errors import UserError
from shiftaddnas.export.program import portable_program
from shiftaddnas.export.trace import trace
from shiftaddnas.export.verify import check_outputs, reference_outputs
from shiftaddnas.files import write_atomically


class OnnxNetwork(nn.Module):
    """An ONNX model, a file or its content, as a network: onnxruntime on one CPU thread for each of PyTorch's."""

    def __init__(self, model: Path | bytes) -> None:
        super().__init__()
        _require_packages()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        content = model if isinstance(model, bytes) else str(model)
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._names = [one.name for one in self._session.get_inputs()]

    def forward(self, *inputs: Tensor) -> Tensor:
        arrays = {name: value.detach().cpu().numpy() for name, value in zip(self._names, inputs, strict=True)}
        return torch.from_numpy(self._session.run(None, arrays)[0])


def export_onnx(network: nn.Module, examples: Sequence[Tensor], path: Path, *, batch_axis: int = 0) -> None:
    """Write a network as an ONNX model, with a batch of any size.

    Args:
        examples: see `trace`.

    Raises:
        UserError: the packages are not installed, or the network cannot be traced.
        ExportError: the model does not compute what the network computes.
    """
    _require_packages()
    import onnx

    traced = trace(network, examples, batch_axis=batch_axis)
    program: Any = torch.onnx.export(portable_program(traced), dynamo=True, verbose=False)
    content = program.model_proto.SerializeToString()
    onnx.checker.check_model(content, full_check=True)
    exported = OnnxNetwork(content)
    for inputs in (traced.examples, traced.single):
        check_outputs("the ONNX model", exported(*inputs), reference_outputs(network, inputs))
    write_atomically(path, content)


def _require_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f'ONNX needs {error.name}, which is not installed: pip install "shiftaddnas[export]"') from None
