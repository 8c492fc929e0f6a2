"""`shiftaddnas latency` as a user calls it: one command, killed and resumed, and searches with what it made."""

import json
import logging
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from commands import environment, failed_in_one_line, only_run, succeeded

from composed import built, compose
from shiftaddnas.cli import latency
from shiftaddnas.errors import UserError
from shiftaddnas.hardware.latency_table import computations, read_table
from shiftaddnas.latency import PredictorFile, features_of, load_predictor
from shiftaddnas.spaces import read_choices
from tasks.image_classification.layers import ImageWorkload

SMALL = (
    "num_archs=16",
    "protocol.num_rounds=2",
    "protocol.round_ms=0",
    "protocol.min_calls=1",
    "predictor.num_epochs=5",
)
NUM_ROUNDS = (16 + 4) * 2  # two of all networks, and two again of those held out
QUICK = ("hardware.protocol.num_rounds=1", "hardware.protocol.round_ms=0", "hardware.protocol.min_calls=1")
GUIDE = (Path(__file__).parents[2] / "docs" / "latency.md").read_text()
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL)
    for line in block.splitlines()
]
BEST = Path("best") / "arch.yaml"
SEARCH = ("search", "debug=fast", "search.max_energy_mj=null")


def shiftaddnas(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "shiftaddnas", *arguments]


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        shiftaddnas(*arguments), cwd=folder, env=environment(), capture_output=True, text=True, timeout=240
    )


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def predictions(content: PredictorFile) -> list[float]:
    space, rng = built("space", "space=digits"), np.random.default_rng(0)
    features = features_of(content.features, space, "")
    return [content.predictor(features(space.sample(rng))) for _ in range(20)]


@pytest.mark.slow
def test_a_killed_measurement_goes_on_and_ends_in_a_predictor(tmp_path: Path) -> None:
    measurements = tmp_path / "latency" / "digits.jsonl"
    output = measurements.with_suffix(".pt")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(shiftaddnas("latency", *SMALL), cwd=tmp_path, env=environment(), **quiet)  # type: ignore[call-overload]
    while len(lines_of(measurements)) < 5:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = lines_of(measurements)[:5]
    assert not output.exists()

    printed = succeeded(run("latency", *SMALL, folder=tmp_path))
    lines = lines_of(measurements)
    assert lines[:5] == before
    rounds = [json.loads(line) for line in lines[1:]]
    assert len({(line["phase"], line["round"], line["arch_id"]) for line in rounds}) == len(rounds) == NUM_ROUNDS
    content = load_predictor(output)
    assert (content.space, content.accuracy.num_archs) == ("digits", 4)
    for name, value in (
        ("MAPD", f"{content.accuracy.mapd_percent:.2f} %"),
        ("Kendall's tau", f"{content.accuracy.kendall_tau:.3f}"),
        ("tau of measuring twice", f"{content.accuracy.retest_tau:.3f}"),
    ):
        assert re.search(rf"{name} +{re.escape(value)}", printed), printed
    assert output.with_suffix(".png").exists()

    # What is measured is not measured again, and gives the same predictor again.
    again = succeeded(run("latency", *SMALL, folder=tmp_path))
    assert again.endswith(printed[printed.index("networks  ") :])
    assert lines_of(measurements) == lines
    assert predictions(load_predictor(output)) == predictions(content)

    refused = failed_in_one_line(run("latency", *SMALL, "batch_size=2", folder=tmp_path))
    assert "batch_size is 1 there and 2 here" in refused
    assert "fresh=true" in refused
    assert lines_of(measurements) == lines

    hardware = ("hardware=latency_predictor", f"hardware.path={output}")
    succeeded(run(*SEARCH, *hardware, "search.max_latency_ms=1000", folder=tmp_path))
    found = only_run(tmp_path)
    space = built("space", "space=digits")
    predicted = content.predictor(features_of(content.features, space, "")(space.arch(read_choices(found / BEST))))
    winner = json.loads((found / "results.json").read_text())["winner"]
    assert winner["costs"] == {"latency_ms": pytest.approx(max(0.0, predicted))}
    other = failed_in_one_line(run("price", *hardware, "space=hytra_hybrid", folder=tmp_path))
    assert "predicts archs of space digits, not of hytra_hybrid" in other


@pytest.mark.slow
def test_a_search_on_this_machine_makes_the_table_that_another_reads(tmp_path: Path) -> None:
    table = tmp_path / "host.csv"
    host = ("hardware=host", f"hardware.table={table}", *QUICK)
    succeeded(run(*SEARCH, *host, "search.max_latency_ms=90%", folder=tmp_path))
    measured = table.read_bytes()
    wanted = computations(built("space", "space=digits"), ImageWorkload(8, 1, 10))
    assert set(read_table(table).timings) == set(wanted)

    here = succeeded(run("price", *host, "arch=digits_mixed", folder=tmp_path))
    there = succeeded(
        run("price", "hardware=latency_table", f"hardware.table={table}", "arch=digits_mixed", folder=tmp_path)
    )
    assert here.endswith(there.replace("latency_table", "host"))
    assert table.read_bytes() == measured

    refused = failed_in_one_line(run("price", *host, "hardware.num_threads=2", folder=tmp_path))
    assert "num_threads is 1 there and 2 here" in refused


MISTAKES = {
    "too few networks": (("num_archs=5",), "num_archs=5 and predictor.held_out=0.25 leave 4 archs"),
    "too many networks": (("num_archs=6000",), "num_archs=6000 is more than the 5328 archs of space digits"),
    "another suffix": (("output=latency.csv",), "output=latency.csv is not allowed; name a file that ends in .pt"),
    "output that cannot be made": (("output=/proc/latency/digits.pt",), "output=/proc/latency/digits.pt cannot be"),
    "unknown features": (("predictor.features=hat",), "predictor.features=hat: there are no features hat"),
    "unknown law": (("law=uniform",), "law=uniform"),
    "no rounds": (("protocol.num_rounds=0",), "protocol.num_rounds=0 is not allowed; give at least 1"),
    "no such device": (("device=tpu",), "device=tpu is not here; allowed: cpu"),
    "no threads": (("num_threads=0",), "num_threads=0"),
    "empty batch": (("batch_size=0",), "batch_size=0 is not allowed"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_and_nothing_left_behind(
    mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides, message = MISTAKES[mistake]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)  # pytest has its own
    with pytest.raises(UserError, match=re.escape(message)):
        latency.run(compose("latency", *overrides))
    assert not list(tmp_path.iterdir())


HARDWARE = {
    "no table": (("hardware=latency_table",), "hardware.table is missing; set hardware.table="),
    "absent table": (("hardware=latency_table", "hardware.table=none.csv"), "none.csv does not exist"),
    "no predictor": (("hardware=latency_predictor",), "hardware.path is missing; set hardware.path="),
    "absent predictor": (("hardware=latency_predictor", "hardware.path=none.pt"), "none.pt does not exist"),
    "no rounds": (("hardware=host", "hardware.protocol.num_rounds=0"), "num_rounds=0 is not allowed"),
    "no such device": (("hardware=host", "hardware.device=tpu"), "device=tpu is not here; allowed: cpu"),
}


@pytest.mark.parametrize("mistake", HARDWARE)
def test_a_mistake_in_the_hardware_is_named(mistake: str) -> None:
    overrides, message = HARDWARE[mistake]
    with pytest.raises(UserError, match=re.escape(message)):
        built("hardware", *overrides)


def test_a_mistake_is_told_in_one_line(tmp_path: Path) -> None:
    line = failed_in_one_line(run("latency", "predictor.hiden=[8]", folder=tmp_path))
    assert "did you mean predictor.hidden?" in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_of_the_guide_composes(words: list[str]) -> None:
    assert compose(words[1], *words[2:]).seed == 0


def test_help_answers_without_torch(tmp_path: Path) -> None:
    code = "import sys, shiftaddnas.cli.latency; print('torch' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
    assert "num_archs: 200" in succeeded(run("latency", "--help", folder=tmp_path))
    assert not list(tmp_path.iterdir())
