"""`shiftaddnas latency`: measure networks on this machine, fit a latency predictor to them, and say how good it is."""

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from shiftaddnas.cli.app import plain_config, start
from shiftaddnas.cli.output import output_file
from shiftaddnas.errors import UserError

if TYPE_CHECKING:  # torch and Lightning are imported when a job runs, so that --help answers at once
    from torch import nn

    from shiftaddnas.engine import Task
    from shiftaddnas.latency import Fit, Networks, PredictorFile, Protocol, Study, Training
    from shiftaddnas.spaces import Arch, Space


def main() -> None:
    start("latency", run)


def run(config: DictConfig) -> float:
    """From config to a predictor's file; its error in percent, for sweepers that minimise it."""
    import torch

    from shiftaddnas.cli.build import build
    from shiftaddnas.latency import PredictorFile, features_of, fingerprint, fit_study, save_predictor, this_machine
    from shiftaddnas.tracking import child_seed

    logging.getLogger("shiftaddnas.latency").setLevel(logging.INFO)
    settings = plain_config(config)
    output = _output(settings["output"])
    task: Task = build(settings["task"], "task")
    space: Space[Any, Any] = build(settings["space"], "space")
    training: Training = build(settings["predictor"], "predictor")
    features_of(training.features, space, f"predictor.features={training.features}")
    machine = this_machine(settings["device"], settings["num_threads"])
    study = _measured(settings, task, space, training, machine, output.with_suffix(".jsonl"))
    generator = torch.Generator().manual_seed(child_seed(settings["seed"], "latency", "fit"))
    fit = fit_study(study, space, training, generator)
    content = PredictorFile(
        space=space.name,
        fingerprint=fingerprint(space, task.workload()),
        batch_size=settings["batch_size"],
        machine=machine,
        features=training.features,
        columns=fit.columns,
        predictor=fit.predictor,
        accuracy=fit.accuracy,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    save_predictor(output, content)
    _draw(output.with_suffix(".png"), content, study, fit)
    _print(output, content, study)
    return fit.accuracy.mapd_percent


def _output(setting: str) -> Path:
    output = Path(setting)
    if output.suffix != ".pt":
        raise UserError(f"output={setting} is not allowed; name a file that ends in .pt")
    return output_file(output)


def _measured(
    settings: dict[str, Any],
    task: "Task",
    space: "Space[Any, Any]",
    training: "Training",
    machine: dict[str, str],
    file: Path,
) -> "Study":
    """The measurements in the file, and what is missing there."""
    from rich.console import Console

    from shiftaddnas.cli.build import build
    from shiftaddnas.cli.progress import progress_bar
    from shiftaddnas.latency import Conditions, Measurements, fingerprint, held_out, measure_study, sample_archs
    from shiftaddnas.latency.exclusive import exclusive
    from shiftaddnas.tracking import child_generator

    protocol: Protocol = build(settings["protocol"], "protocol")
    num_archs, seed, batch_size = settings["num_archs"], settings["seed"], settings["batch_size"]
    judges = held_out(num_archs, training, child_generator(seed, "latency", "held out"))
    archs = sample_archs(space, num_archs, child_generator(seed, "latency", "archs"), settings["law"])
    networks = _networks(settings, task, space, archs[0])
    what = {
        "task": task.name,
        "space": space.name,
        "layers": fingerprint(space, task.workload()),
        "batch_size": str(batch_size),
        "calls": f"{protocol.num_warmups} to warm up, then {protocol.round_ms:g} ms or {protocol.min_calls}",
    }
    with exclusive(file, "output"):
        if settings["fresh"]:
            file.unlink(missing_ok=True)
        measurements = Measurements(file, Conditions(machine, what), "output")
        total = (len(archs) + len(judges)) * protocol.num_rounds
        with progress_bar(Console()) as bar:
            row = bar.add_task("measuring", total=total, status=f"{num_archs} networks of {space.name}")
            advance = lambda: bar.advance(row)  # noqa: E731
            return measure_study(archs, judges, networks, measurements, protocol, on_round=advance)


def _networks(settings: dict[str, Any], task: "Task", space: "Space[Any, Any]", example: "Arch") -> "Networks":
    import torch

    from shiftaddnas.latency import Networks
    from shiftaddnas.tracking import child_seed

    def build_network(arch: "Arch") -> "nn.Module":
        with torch.random.fork_rng():
            torch.manual_seed(child_seed(settings["seed"], "subnet", arch.id))
            return task.standalone(space, arch)

    device, batch_size = settings["device"], settings["batch_size"]
    if batch_size < 1:
        raise UserError(f"batch_size={batch_size} is not allowed; give at least 1")
    run_network = task.inference(build_network(example), batch_size, device)
    return Networks(build_network, run_network, device, settings["num_threads"])


def _draw(path: Path, content: "PredictorFile", study: "Study", fit: "Fit") -> None:
    from shiftaddnas.latency import write_figure

    points = [*zip(study.timings, fit.predicted_ms, strict=True)]
    fitted, judges = ([points[index] for index in part] for part in (study.fitted, study.held_out))
    title = f"{content.space}, batch {content.batch_size}, on {content.machine['cpu']}"
    write_figure(path, title, fitted, judges, content.accuracy)


def _print(output: Path, content: "PredictorFile", study: "Study") -> None:
    from rich.console import Console
    from rich.table import Table

    from shiftaddnas.report.numbers import significant

    judged, times = content.accuracy, [timing.latency_ms for timing in study.timings]
    span = " to ".join(significant(time) for time in (min(times), max(times)))
    machine = content.machine
    table = Table.grid(padding=(0, 2))
    rows = {
        "networks": f"{len(times)} of space {content.space}, batch {content.batch_size}: {span} ms",
        "machine": ", ".join(f"{name} {machine[name]}" for name in ("device", "cpu", "num_threads", "adder", "torch")),
        "held out": f"{judged.num_archs} networks, on which the predictor has",
        "  MAPD": f"{judged.mapd_percent:.2f} %",
        "  RMSE": f"{significant(judged.rmse_ms)} ms",
        "  Kendall's tau": f"{judged.kendall_tau:.3f}",
        "  tau of measuring twice": f"{judged.retest_tau:.3f}",
        "files": f"{output}, with its measurements (.jsonl) and a figure (.png)",
    }
    for row in rows.items():
        table.add_row(*row)
    console = Console()
    console.print(table)
    console.print(f"use it with: hardware=latency_predictor hardware.path={output}", soft_wrap=True)
