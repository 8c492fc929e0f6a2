"""How well latencies of whole networks are predicted on this machine: by a fit, and by the sum of their timed layers.

`python benchmarks/latency.py [num_archs] [folder]` prints tables in Markdown. 200 archs of the digits space take about
six minutes on one thread. Measurements are kept in the folder (latency/benchmark); what was interrupted goes on there.
"""

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests")]  # configs as objects

from composed import built, compose  # noqa: E402
from shiftaddnas.cli.app import plain_config  # noqa: E402
from shiftaddnas.cli.build import build  # noqa: E402
from shiftaddnas.latency import (  # noqa: E402
    Accuracy,
    Conditions,
    HostLatency,
    Measurements,
    Networks,
    Protocol,
    Study,
    Training,
    fingerprint,
    fit_study,
    held_out,
    measure_study,
    rank_correlation,
    sample_archs,
    this_machine,
)
from shiftaddnas.spaces import Arch  # noqa: E402

SPACE: Any = built("space", "space=digits")
TASK: Any = built("task", "task=digits")
CONFIG = plain_config(compose("latency"))
PROTOCOL: Protocol = build(CONFIG["protocol"], "protocol")
TRAINING: Training = build(CONFIG["predictor"], "predictor")
PREDICTORS = {
    "the default: terms, linear fit and 64-64": TRAINING,
    "terms, linear fit alone": replace(TRAINING, hidden=(), num_epochs=1),
    "terms, linear fit and HAT's 400-400-400-400": replace(TRAINING, hidden=(400,) * 4),
    "one-hot decisions, linear fit and 64-64": replace(TRAINING, features="decisions"),
}
NUM_RESAMPLES = 1_000


def network(arch: Arch) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built_network: nn.Module = TASK.standalone(SPACE, arch)
        return built_network


def measured(num_archs: int, folder: Path, machine: dict[str, str]) -> Study:
    rng = np.random.default_rng(0)
    judges = held_out(num_archs, TRAINING, rng)
    archs = sample_archs(SPACE, num_archs, rng, "archs")
    image = torch.randn(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    networks = Networks(network, lambda built_network: built_network(image))
    conditions = Conditions(machine, {"layers": fingerprint(SPACE, TASK.workload()), "protocol": str(PROTOCOL)})
    measurements = Measurements(folder / "networks.jsonl", conditions, "folder")
    return measure_study(archs, judges, networks, measurements, PROTOCOL)


def latencies(study: Study) -> NDArray[np.float64]:
    return np.array([timing.latency_ms for timing in study.timings])


def row(title: str, training: Training, study: Study, retest: float) -> str:
    begin = time.perf_counter()
    fit = fit_study(study, SPACE, training, torch.Generator().manual_seed(0))
    seconds = time.perf_counter() - begin
    judges, found = list(study.held_out), fit.accuracy
    low, high = interval(np.array(fit.predicted_ms)[judges], latencies(study)[judges])
    tau = f"{found.kendall_tau:.3f} ({low:.2f} to {high:.2f})"
    return f"| {title} | {errors(found)} | {tau} | {found.kendall_tau / retest:.2f} | {seconds:.1f} |"


def errors(found: Accuracy) -> str:
    return f"{found.mapd_percent:.2f} | {found.rmse_ms:.3f}"


def interval(predicted: NDArray[np.float64], found: NDArray[np.float64]) -> tuple[float, float]:
    """Of Kendall's tau, 95 %, by bootstrap over archs."""
    rng = np.random.default_rng(0)
    draws = rng.integers(len(found), size=(NUM_RESAMPLES, len(found)))
    taus = [rank_correlation(predicted[draw].tolist(), found[draw].tolist()) for draw in draws]
    low, high = np.percentile(taus, (2.5, 97.5))
    return float(low), float(high)


def with_fewer(study: Study, num_fitted: int) -> Study:
    """The same study, fitted to the first archs only, judged by the same."""
    kept = sorted({*study.fitted[:num_fitted], *study.held_out})
    return Study(
        tuple(study.archs[index] for index in kept),
        tuple(study.timings[index] for index in kept),
        tuple(kept.index(index) for index in study.held_out),
        study.again,
    )


def layer_sum(study: Study, folder: Path) -> Iterator[str]:
    host = HostLatency("host", Protocol(), table=str(folder / "layers.csv"))
    sums = host.bind(SPACE, TASK.workload()).batch(list(study.archs))[:, 0]
    found = latencies(study)
    shares = np.percentile(sums / found, (0, 50, 100))
    low, high = interval(sums, found)
    rest = found - sums
    scaled = sums * np.median(found / sums)
    shifted = sums + np.median(rest)
    yield "\nThe sum of the separately timed layers (hardware=host) beside the networks, over all archs\n"
    yield "| Kendall's tau | share of the measured time | MAPD, %, times one factor | MAPD, %, plus one constant |"
    yield "|--:|--:|--:|--:|"
    mapds = (100 * np.mean(abs(own - found) / found) for own in (scaled, shifted))
    yield (
        f"| {rank_correlation(sums.tolist(), found.tolist()):.3f} ({low:.2f} to {high:.2f}) | "
        f"{shares[1]:.2f} ({shares[0]:.2f} to {shares[2]:.2f}) | " + " | ".join(f"{mapd:.2f}" for mapd in mapds) + " |"
    )


def report(num_archs: int, folder: Path) -> Iterator[str]:
    machine = this_machine("cpu", 1)
    told = ", ".join(f"{name}: {value}" for name, value in machine.items())
    yield f"{datetime.now(UTC):%Y-%m-%d}, {told}, load {os.getloadavg()[0]:.1f}."
    study = measured(num_archs, folder, machine)
    found, judges = latencies(study), list(study.held_out)
    again = [timing.latency_ms for timing in study.again]
    retest = rank_correlation(found[judges].tolist(), again)
    spread = np.median([timing.iqr_ms / timing.latency_ms for timing in study.timings])
    yield (
        f"{num_archs} archs of space {SPACE.name}, batch 1: {found.min():.2f} to {found.max():.2f} ms, interquartile "
        f"range {spread:.1%} of it (median). {len(judges)} are held out and measured twice: "
        f"Kendall's tau {retest:.3f}, MAPD {100 * np.mean(abs(found[judges] - again) / found[judges]):.2f} %."
    )
    head = "| | MAPD, % | RMSE, ms | Kendall's tau (95 %) | of measuring twice | fit, s |\n|---|" + "--:|" * 5
    yield f"\nPredictors fitted to the other {len(study.fitted)}, on the held out\n\n{head}"
    yield from (row(title, training, study, retest) for title, training in PREDICTORS.items())
    yield f"\nThe default, fitted to fewer\n\n{head}"
    sizes = [size for size in (25, 50, 100, 200, 400) if size < len(study.fitted)]
    yield from (row(f"{size} archs", TRAINING, with_fewer(study, size), retest) for size in sizes)
    yield from layer_sum(study, folder)


if __name__ == "__main__":
    arguments = dict(enumerate(sys.argv[1:]))
    for line in report(int(arguments.get(0, 200)), Path(arguments.get(1, "latency/benchmark"))):
        print(line, flush=True)
