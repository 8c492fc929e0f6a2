"""`shiftaddnas export`: a run's trained network as a file for other runtimes, compared with it on the test data."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from shiftaddnas.cli.app import plain_config, start
from shiftaddnas.cli.output import output_file
from shiftaddnas.errors import UserError

if TYPE_CHECKING:  # torch is imported when a job runs, so that --help answers at once
    from torch import Tensor, nn

    from shiftaddnas.cli.trained import TrainedNetwork

SUFFIXES = {"onnx": ".onnx", "program": ".pt2", "integer": ".integer.pt"}
NUM_EXAMPLES = 8
"""Of the inputs that a model is checked with before it is written."""


def main() -> None:
    start("export", run)


def run(config: DictConfig) -> None:
    """One export, from a run folder to a file and a table about it."""
    settings = plain_config(config)
    kind = settings["format"]
    if kind not in SUFFIXES:
        raise UserError(f"format={kind} is unknown; it is {', '.join(SUFFIXES)}")
    if settings["run"] is None:
        raise UserError("run= is missing; give a run folder such as runs/digits/0123456789ab, or a checkpoint")
    output = None if settings["output"] is None else output_file(Path(settings["output"]))
    from shiftaddnas.cli.trained import load_trained

    trained = load_trained(Path(settings["run"]), settings["weights"])
    if trained.task.no_export:
        raise UserError(f"run={settings['run']}: {trained.task.no_export}")
    output = output or output_file(trained.checkpoint.with_suffix(SUFFIXES[kind]))
    _print_table(trained, _exported(trained, kind, output), output)


def _calibration_inputs(trained: "TrainedNetwork") -> "list[tuple[Tensor, ...]]":
    """What the network is given for the fixed part of the training data that batch norms are calibrated with."""
    data: Any = trained.task.datamodule()
    data.setup("fit")
    seen: list[tuple[Tensor, ...]] = []
    handle = trained.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
    for batch in data.calibration_dataloader():
        trained.task.step(trained.network, batch)
    handle.remove()
    return seen


def _exported(trained: "TrainedNetwork", kind: str, output: Path) -> "nn.Module":
    """Write the file, and read it back as a network."""
    import torch

    from shiftaddnas.export import IntegerNetwork, OnnxNetwork, export_integer, export_onnx, export_program

    inputs = _calibration_inputs(trained)
    examples = [one[:NUM_EXAMPLES] for one in inputs[0]]
    if kind == "onnx":
        export_onnx(trained.network, examples, output)
        return OnnxNetwork(output)
    if kind == "program":
        export_program(trained.network, examples, output)
        return torch.export.load(output).module()
    export_integer(trained.network, inputs, output)
    return IntegerNetwork.load(output)


def _print_table(trained: "TrainedNetwork", exported: "nn.Module", output: Path) -> None:
    from shiftaddnas.export import agreement
    from shiftaddnas.report.numbers import count, metric_value, significant

    data: Any = trained.task.datamodule()
    data.setup("test")
    found = agreement(trained.task, trained.network, exported, data.test_dataloader())
    rows = [
        ("network", trained.label),
        ("file", str(output)),
        ("size", f"{count(output.stat().st_size)}B"),
        *_weight_rows(exported),
        ("test samples", str(found.num_samples)),
        ("same top-1 class", metric_value("accuracy", "", found.same_top1)),
        ("largest logit difference", significant(found.largest_difference)),
    ]
    for name, value in found.network.items():
        title = f"test {name.replace('_', ' ')}"
        rows.append((title, metric_value(name, trained.task.unit, found.exported[name])))
        rows.append((f"{title} in float32", metric_value(name, trained.task.unit, value)))
    width = max(len(title) for title, _ in rows)
    for title, text in rows:
        print(f"{title:<{width}}  {text}")


def _weight_rows(exported: "nn.Module") -> list[tuple[str, str]]:
    """How much smaller the weights of a network in integers are."""
    from shiftaddnas.export import IntegerNetwork
    from shiftaddnas.report.numbers import count

    rows = []
    for kind, title in (("shift", "shift weights"), ("add", "adder weights")):
        layers = [one for one in exported.layers if one.kind == kind] if isinstance(exported, IntegerNetwork) else []
        if layers:
            packed, float32 = sum(one.packed_bytes for one in layers), sum(one.float32_bytes for one in layers)
            bits = " or ".join(str(number) for number in sorted({one.bits for one in layers}))
            rows.append((title, f"{count(packed)}B packed, {bits} bits each; {count(float32)}B in float32"))
    return rows
