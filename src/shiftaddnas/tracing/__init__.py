"""From any network and an input to its layers, as cost models price them."""

from shiftaddnas.tracing.network import Trace, trace_layers

__all__ = ["Trace", "trace_layers"]
