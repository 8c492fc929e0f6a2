"""Trained networks for other runtimes: ONNX models, `torch.export` programs, and networks in integers."""

from shiftaddnas.export.agreement import Agreement, agreement
from shiftaddnas.export.integer import IntegerLayer, IntegerNetwork
from shiftaddnas.export.integer_conversion import export_integer, integer_network
from shiftaddnas.export.onnx_model import OnnxNetwork, export_onnx
from shiftaddnas.export.program import export_program
from shiftaddnas.export.verify import ExportError

__all__ = [
    "Agreement",
    "ExportError",
    "IntegerLayer",
    "IntegerNetwork",
    "OnnxNetwork",
    "agreement",
    "export_integer",
    "export_onnx",
    "export_program",
    "integer_network",
]
