"""The table of docs/results/messages.md, from the run folders of the study, with latencies measured now.

`python benchmarks/messages.py FOLDER` prints Markdown. FOLDER holds run folders of networks and searches, at any depth.
The latency is that of translating one sentence of the length the task prices networks for, on one thread: the encoder
once, then the decoder step by step.
"""

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from study import config_of, mean_and_range, results_below, searcher_of, table

from shiftaddnas.cli.build import build
from shiftaddnas.latency import Protocol, time_call
from shiftaddnas.latency.timing import clock_for, measuring
from shiftaddnas.spaces import Arch, read_choices


class Network(NamedTuple):
    test: dict[str, float]
    costs: dict[str, float]
    latency_ms: float


def latency_ms(task: Any, space: Any, arch: Arch) -> float:
    network = task.standalone(space, arch).eval()
    run = task.inference(network, 1, "cpu")
    with measuring(1):
        return time_call(lambda: run(network), Protocol(), clock_for("cpu", 1)).latency_ms


def networks_of(folder: Path, results: Any) -> Iterator[tuple[str, Network]]:
    """The networks of a run that are trained alone, each with what it is called."""
    config = config_of(folder)
    task, space = build(config["task"], "task"), build(config["space"], "space")
    if results.get("kind") == "subnet":
        arch = space.arch(read_choices(folder / "arch.yaml"))
        name = Path(config["arch"]).name.replace("_", "-")
        yield name, Network(results["test"], results["costs"], latency_ms(task, space, arch))
    elif "winner" in results:
        winner = space.arch(read_choices(folder / "best" / "arch.yaml"))
        searcher = searcher_of(folder)
        archs = {"all_multiplication": space.all_multiplication(winner), "all_cheap": space.all_cheap(winner)}
        yield searcher, Network(results["winner"]["test"], results["winner"]["costs"], latency_ms(task, space, winner))
        for role, entry in results["baselines"].items():
            name = f"{role.replace('_', '-')}, shape of {searcher}"
            yield name, Network(entry["test"], entry["costs"], latency_ms(task, space, archs[role]))


def main(folder: str) -> None:
    networks: dict[str, list[Network]] = defaultdict(list)
    for path, results in results_below(Path(folder)):
        for name, network in networks_of(path, results):
            networks[name].append(network)
    columns = ["network", "runs", "BLEU", "loss (bits)", "energy (mJ)", "latency (ms)", "parameters"]
    rows = []
    for name, runs in networks.items():
        rows.append(
            [
                name,
                str(len(runs)),
                mean_and_range((run.test["bleu"] for run in runs), 2),
                mean_and_range((run.test["loss_bits"] for run in runs), 3),
                mean_and_range((run.costs["energy_mj"] for run in runs), 2),
                mean_and_range((run.latency_ms for run in runs), 1),
                mean_and_range((run.costs["num_params"] for run in runs), 0),
            ]
        )
    table(columns, rows)


if __name__ == "__main__":
    main(*sys.argv[1:])
