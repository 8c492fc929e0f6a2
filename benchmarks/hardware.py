"""How fast archs are priced: one, a million, and all 198,955,008 of the paper's image space, beside a loop over layers.

`python benchmarks/hardware.py` prints tables in Markdown; it takes about three minutes on one thread. Times are medians
over rounds, but for the longest; where the loop would take too long, it runs over fewer archs and its time is scaled.
"""

import multiprocessing
import os
import platform
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "hardware")]  # the recorded network, and configs as objects

from recorded_networks import MIX_V4, image_network  # noqa: E402

from composed import built  # noqa: E402
from shiftaddnas.hardware import BoundCost, LayerModel  # noqa: E402
from shiftaddnas.spaces import Arch, CodedArchs, Space  # noqa: E402
from tasks.image_classification.layers import ImageWorkload  # noqa: E402

PRESETS = ("asic45nm", "eyeriss_fair", "eyeriss_released")
WORKLOAD = ImageWorkload(224, 3, 1000)
ROUNDS = 5
MILLION = 1_000_000
LOOPED = 30  # archs that the loop prices
KNOWN = 2000  # archs that are priced one by one


def seconds(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """The median over rounds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def cold(preset: str) -> float:
    """Seconds for the recorded T0_mix_v4 network at 224 pixels, of which nothing was priced before."""
    layers = image_network(MIX_V4, 224, last_stride=2)
    model: LayerModel = built("hardware", f"hardware={preset}")
    return seconds(lambda: model.estimate(layers), rounds=1)


def in_fresh_processes(preset: str) -> float:
    """The median of `cold`, each time in a process of its own, as the model keeps some of what it works out."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn, max_tasks_per_child=1) as processes:
        return statistics.median(processes.map(cold, [preset] * ROUNDS))


def loop(model: LayerModel, space: Space[Any, Any], archs: list[Arch]) -> list[dict[str, float]]:
    """Every arch as the sum over its layers, each priced where it stands."""
    costs = []
    for arch in archs:
        total: dict[str, float] = defaultdict(float)
        for layer in space.arch_layers(arch, WORKLOAD):
            for name, value in model.price(layer).items():
                total[name] += value
        costs.append(total)
    return costs


def first_seconds(preset: str) -> float:
    """From the config to the first arch's cost: every layer of the space is priced on the way."""
    model, space = built("hardware", f"hardware={preset}"), built("space", "space=hytra_hybrid")
    arch = space.sample(np.random.default_rng(0))
    return seconds(lambda: model.bind(space, WORKLOAD)(arch), rounds=1)


def row(preset: str, space: Space[Any, Any], many: CodedArchs, archs: list[Arch]) -> str:
    model: LayerModel = built("hardware", f"hardware={preset}")
    bound = model.bind(space, WORKLOAD)
    check(bound, loop(model, space, archs[:LOOPED]), archs[:LOOPED])
    looped = seconds(lambda: loop(model, space, archs[:LOOPED])) / LOOPED
    known = seconds(lambda: [bound(arch) for arch in archs[:KNOWN]]) / KNOWN
    codes = seconds(lambda: bound.batch(many))
    listed = seconds(lambda: bound.batch(archs), rounds=1) * len(many) / len(archs)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        first = process.submit(first_seconds, preset).result()
    cells = [f"{1e3 * in_fresh_processes(preset):.0f}", f"{1e3 * first:.0f}", f"{1e6 * looped:.0f}"]
    cells += [f"{1e6 * known:.0f}", f"{looped / known:.0f}", f"{codes:.2f}", f"{listed:.1f}"]
    cells.append(f"{looped * MILLION / codes:.0f}")
    return " | ".join([f"| {preset} ({len(model.metrics)} metrics)", *cells]) + " |"


def check(bound: BoundCost, looped: list[dict[str, float]], archs: list[Arch]) -> None:
    rows = bound.batch(archs)
    for cost, values, line in zip(looped, map(bound, archs), rows, strict=True):
        assert list(values.values.values()) == line.tolist()
        assert np.allclose(line, [cost[metric.name] for metric in bound.metrics], rtol=1e-12)


def distribution_row(preset: str, metric: str, space: Space[Any, Any]) -> str:
    bound = built("hardware", f"hardware={preset}").bind(space, WORKLOAD)
    bound.extremes()  # the layers are priced
    found = bound.distribution(metric)
    taken = seconds(partial(bound.distribution, metric))
    assert found.num_archs == space.size()
    quantiles = (f"{found.quantile(share):.5g}" for share in (0, 0.01, 0.5, 0.99, 1))
    cells = [f"{1e3 * taken:.0f}", f"{len(found.values):,}", f"{found.error:g}", *quantiles]
    return " | ".join([f"| {preset}, {metric}", *cells]) + " |"


def report() -> Iterator[str]:
    cpu = [
        line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if line.startswith("model name")
    ]
    yield f"{datetime.now(UTC):%Y-%m-%d}, {cpu[0].partition(': ')[2] if cpu else platform.machine()}, one thread, " + (
        f"Python {platform.python_version()}, numpy {np.__version__}, load {os.getloadavg()[0]:.1f}."
    )
    space = built("space", "space=hytra_hybrid")
    rng = np.random.default_rng(0)
    many = space.sample_many(MILLION, rng)
    yield f"\nPricing archs of {space.name} ({space.size():,}); the loop calls `price` for every layer\n"
    yield "| hardware | T0_mix_v4, cold, ms | the space, cold, ms | an arch: loop, us | known, us | loop / known " + (
        "| a million: codes, s | archs, s | loop / codes |"
    )
    yield "|---|" + "--:|" * 8
    archs = list(many[: MILLION // 10])
    yield from (row(preset, space, many, archs) for preset in PRESETS)
    sampling = seconds(lambda: space.sample_many(MILLION, rng), rounds=1)
    yield f"\nSampling a million archs takes {sampling:.2f} s."
    yield f"\nThe exact distribution over all {space.size():,} archs\n"
    yield "| metric | ms | different costs | error | least | 1 % | median | 99 % | greatest |"
    yield "|---|" + "--:|" * 8
    for preset in PRESETS:
        yield from (distribution_row(preset, metric, space) for metric in ("energy_mj", "latency_ms"))


if __name__ == "__main__":
    for line in report():
        print(line, flush=True)
