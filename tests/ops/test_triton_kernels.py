"""The Triton kernels without a GPU: computed in Triton's interpreter, compiled for GPUs, and traced for them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from shiftaddnas.ops import adder_conv2d, triton_kernels
from shiftaddnas.ops.geometry import Geometry
from shiftaddnas.ops.triton_kernels.launch import BLOCK_POSITIONS, GRADIENT_LANES, NUM_WARPS, OUTPUT_LANES

triton = pytest.importorskip("triton")
HERE = Path(__file__).parent


@pytest.mark.slow
def test_in_the_interpreter() -> None:
    """In a process of its own: the interpreter is chosen when Triton is imported."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "SHIFTADDNAS_"))}
    files = HERE / "triton_in_interpreter.py", HERE / "test_adder.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", *map(str, files)],
        env=kept | {"TRITON_INTERPRET": "1"},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("target", [("cuda", 80, 32), ("hip", "gfx942", 64)], ids=str)
@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize(("name", "max_lanes"), [("outputs", OUTPUT_LANES), ("input_gradients", GRADIENT_LANES)])
def test_compiles_for_gpus(
    name: str,
    max_lanes: int,
    depthwise: bool,
    target: tuple[str, int | str, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from shiftaddnas.ops.triton_kernels import kernels

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    kernel = getattr(kernels, name)
    constants = {
        "R": 3,
        "S": 3,
        "INDEX": triton.language.int64 if depthwise else triton.language.int32,
        "BLOCK_L": 1 if depthwise else max_lanes,
        "BLOCK_P": BLOCK_POSITIONS,
    }
    if depthwise:  # at its launch, Triton makes constants of what is 1
        constants |= dict.fromkeys(("depth", "lanes", "stride_h", "stride_w", "dilation_h", "dilation_w"), 1)
    tensors = ("x", "weight", "y", "grad", "grad_x")
    types = {
        argument: "constexpr" if argument in constants else "*fp32" if argument in tensors else "i32"
        for argument in kernel.arg_names
    }
    values = {(kernel.arg_names.index(argument),): value for argument, value in constants.items()}
    compiled = triton.compile(
        ASTSource(kernel, types, values), target=GPUTarget(*target), options={"num_warps": NUM_WARPS}
    )
    assert compiled.asm["cubin" if target[0] == "cuda" else "hsaco"]


def test_graphs_for_gpus_hold_the_custom_operators() -> None:
    def on_a_gpu(x: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        x, weight = x.to("cuda"), weight.to("cuda")
        y = adder_conv2d(x, weight, stride=2, padding=1)
        geometry = Geometry.of(x, weight, 2, 1, 1, 1)
        return y, triton_kernels.input_gradient(x, weight, y, geometry)

    graph = make_fx(on_a_gpu, tracing_mode="fake")(torch.zeros(2, 3, 8, 8), torch.zeros(4, 3, 3, 3)).graph
    custom = [node for node in graph.nodes if "shiftaddnas" in str(node.target)]
    assert [(str(node.target), node.meta["val"].device.type, node.meta["val"].shape) for node in custom] == [
        ("shiftaddnas.adder_outputs.default", "cuda", (2, 4, 4, 4)),
        ("shiftaddnas.adder_input_gradient.default", "cuda", (2, 3, 8, 8)),
    ]
