"""`shiftaddnas export`: a run's trained network as a file for other runtimes, compared with it on the test data."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from shiftaddnas.cli.app import plain_config, start
from shiftaddnas.errors import UserError

if TYPE_CHECKING:  # torch is imported when a job runs, so that --help answers at once
    from torch import Tensor, nn

    from shiftaddnas.engine import Task
    from shiftaddnas.export import Agreement
    from shiftaddnas.tracking import RunFolder

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
    if settings["output"] is not None and Path(settings["output"]).is_dir():
        raise UserError(f"output={settings['output']} is a folder; name the file to write")
    # Hydra has set up the root logger to pass on everything that an exporter notes.
    trained = load(Path(settings["run"]))
    output = Path(settings["output"] or trained.checkpoint.with_suffix(SUFFIXES[kind]))
    _print_table(trained, _exported(trained, kind, output), output)


@dataclass(frozen=True)
class TrainedNetwork:
    """A network with trained weights, in evaluation mode, and the task it was trained for."""

    network: "nn.Module"
    task: "Task"
    label: str
    checkpoint: Path

    def calibration_inputs(self) -> "list[tuple[Tensor, ...]]":
        """What the network is given for the fixed part of the training data that batch norms are calibrated with."""
        data: Any = self.task.datamodule()
        data.setup("fit")
        seen: list[tuple[Tensor, ...]] = []
        handle = self.network.register_forward_pre_hook(lambda _, inputs: seen.append(inputs))
        for batch in data.calibration_dataloader():
            self.task.step(self.network, batch)
        handle.remove()
        return seen

    def agreement_of(self, exported: "nn.Module") -> "Agreement":
        from shiftaddnas.export import agreement

        data: Any = self.task.datamodule()
        data.setup("test")
        return agreement(self.task, self.network, exported, data.test_dataloader())


def load(path: Path) -> TrainedNetwork:
    """The network of a run folder, or of a checkpoint that has its arch.yaml beside it.

    Raises:
        UserError: there is none, and what to do about it.
    """
    from shiftaddnas.cli.build import build
    from shiftaddnas.engine.checkpoint import load_checkpoint, network_state
    from shiftaddnas.spaces import read_choices

    checkpoint = path if path.is_file() else _checkpoint(path)
    arch_file = checkpoint.with_name("arch.yaml")
    if not arch_file.is_file():
        raise UserError(f"checkpoint {checkpoint} has no arch.yaml beside it, which says what network it holds")
    content = load_checkpoint(checkpoint)
    state = network_state(content, "network")
    if not state or "config" not in content:
        raise UserError(f"checkpoint {checkpoint} holds no single network; give a run folder, or its subnet.ckpt")
    task, space = (build(content["config"][name], name) for name in ("task", "space"))
    arch = space.arch(read_choices(arch_file))
    network = task.standalone(space, arch).eval()
    try:
        network.load_state_dict(state)
    except RuntimeError:
        raise UserError(f"checkpoint {checkpoint} holds another network than {arch_file} describes") from None
    return TrainedNetwork(network, task, f"{arch.id}  {space.describe(arch)}", checkpoint)


def _checkpoint(path: Path) -> Path:
    from shiftaddnas.tracking import RunFolder

    if not path.exists():
        raise UserError(f"run={path} does not exist; give a run folder such as runs/digits/0123456789ab")
    folder = RunFolder(path)
    found = next((file for file in (folder.best_subnet, folder.subnet) if file.is_file()), None)
    if found is None:
        raise UserError(_why_there_is_no_network(folder))
    return found


def _why_there_is_no_network(folder: "RunFolder") -> str:
    command = folder.read_manifest()["command"]
    if not folder.results.exists():
        return f"the run in {folder.path} is unfinished and has no trained network yet; go on with it: {command}"
    return (
        f"the run in {folder.path} trained a supernet, no network of its own; make one with "
        f"python train.py ckpt={folder.supernet} arch=FILE, or python search.py ckpt={folder.supernet}"
    )


def _exported(trained: TrainedNetwork, kind: str, output: Path) -> "nn.Module":
    """Write the file, and read it back as a network."""
    import torch

    from shiftaddnas.export import IntegerNetwork, OnnxNetwork, export_integer, export_onnx, export_program

    inputs = trained.calibration_inputs()
    examples = [one[:NUM_EXAMPLES] for one in inputs[0]]
    if kind == "onnx":
        export_onnx(trained.network, examples, output)
        return OnnxNetwork(output)
    if kind == "program":
        export_program(trained.network, examples, output)
        return torch.export.load(output).module()
    export_integer(trained.network, inputs, output)
    return IntegerNetwork.load(output)


def _print_table(trained: TrainedNetwork, exported: "nn.Module", output: Path) -> None:
    from shiftaddnas.report.numbers import count, metric_value, significant

    agreement = trained.agreement_of(exported)
    rows = [
        ("network", trained.label),
        ("file", str(output)),
        ("size", f"{count(output.stat().st_size)}B"),
        *_weight_rows(exported),
        ("test samples", str(agreement.num_samples)),
        ("same top-1 class", metric_value("accuracy", "", agreement.same_top1)),
        ("largest logit difference", significant(agreement.largest_difference)),
    ]
    for name, value in agreement.network.items():
        title = f"test {name.replace('_', ' ')}"
        rows.append((title, metric_value(name, trained.task.unit, agreement.exported[name])))
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
