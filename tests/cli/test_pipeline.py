"""The commands from end to end on the digits, with debug=fast: what they print, leave behind and can go on from."""

import csv
import json
import shlex
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from commands import command, environment, failed_in_one_line, only_run, run, succeeded

from composed import built
from shiftaddnas.hardware import HardwareCost
from shiftaddnas.search import best, read_records
from shiftaddnas.spaces import read_choices
from tasks.image_classification import HybridSpace
from tasks.image_classification.layers import ImageWorkload

pytestmark = pytest.mark.slow

SMALL = ("debug=fast", "search.population=6", "logger.mode=disabled")
ARTEFACTS = [
    "best/arch.yaml",
    "best/subnet.ckpt",
    "config.yaml",
    "figures/arch.png",
    "figures/arch.svg",
    "figures/pareto.png",
    "figures/training.png",
    "figures/weights_supernet.png",
    "figures/weights_supernet_layers.png",
    "figures/weights_winner.png",
    "figures/weights_winner_layers.png",
    "manifest.json",
    "metrics.csv",
    "pareto.csv",
    "report.html",
    "results.json",
    "search.jsonl",
    "supernet.ckpt",
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted search."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "printed.txt").write_text(succeeded(run("search.py", *SMALL, folder=folder)))
    return folder


def results(folder: Path) -> dict[str, Any]:
    """What a run found, without what differs from process to process."""
    found: dict[str, Any] = json.loads((only_run(folder) / "results.json").read_text())
    for name in ("seconds", "date", "command", "retrain_command"):
        del found[name]
    return found


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_a_run_folder_is_complete(whole: Path) -> None:
    folder = only_run(whole)
    for artefact in ARTEFACTS:
        assert (folder / artefact).is_file(), artefact
    assert not (folder / "resume").exists()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["config_hash"] == folder.name
    assert {"torch", "pytorch-lightning", "hydra-core"} <= set(manifest["versions"])
    stages = {row["stage"] for row in rows(folder / "metrics.csv")}
    assert {"supernet", "retrain/winner"} <= stages


def test_what_is_printed_says_what_was_found(whole: Path) -> None:
    printed = (whole / "printed.txt").read_text()
    folder = only_run(whole)
    found = json.loads((folder / "results.json").read_text())
    for text in ("Pareto front", "winner", "all-multiplication", "all-cheap", str(folder), "arch.yaml"):
        assert text in printed.replace("\n", "").replace("  ", " ") or text in printed
    assert f"{found['winner']['test']['accuracy']:.2%}".replace("%", " %") in printed


def test_the_limit_holds_and_the_front_is_not_dominated(whole: Path, digits_space: HybridSpace) -> None:
    folder = only_run(whole)
    records = read_records(folder / "search.jsonl")
    assert len(records) == 12
    hardware: HardwareCost = built("hardware", "hardware=eyeriss_fair")
    cost = hardware.bind(digits_space, ImageWorkload(image_size=8, in_channels=1, num_classes=10))
    dearest = max(cost(arch).values["energy_mj"] for arch in digits_space.archs())
    assert all(record.costs["energy_mj"] <= 0.5 * dearest * (1 + 1e-9) for record in records)
    for row in rows(folder / "pareto.csv"):
        beaten = [
            record
            for record in records
            if record.score is not None
            and record.score >= float(row["score"])
            and record.costs["energy_mj"] <= float(row["energy_mj"])
            and (record.score, -record.costs["energy_mj"]) != (float(row["score"]), -float(row["energy_mj"]))
        ]
        assert not beaten
    winner = digits_space.arch(read_choices(folder / "best" / "arch.yaml"))
    assert winner.id == best(records, maximize=True).arch_id


def test_a_finished_run_is_printed_again(whole: Path) -> None:
    folder = only_run(whole)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    printed = succeeded(run("search.py", *SMALL, folder=whole))
    assert "Pareto front" in printed
    after = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    assert after == before


def test_two_processes_search_alike(whole: Path, tmp_path: Path) -> None:
    succeeded(run("search.py", *SMALL, folder=tmp_path))
    assert (only_run(tmp_path) / "search.jsonl").read_bytes() == (only_run(whole) / "search.jsonl").read_bytes()
    assert results(tmp_path) == results(whole)


@pytest.mark.parametrize(
    ("artefact", "lines"),
    [
        ("resume/supernet.ckpt", None),
        ("search.jsonl", 9),
        ("resume/retrain-winner.ckpt", None),
        ("baselines/all_multiplication.ckpt", None),
    ],
)
def test_a_killed_search_ends_as_the_uninterrupted_one(
    whole: Path, tmp_path: Path, artefact: str, lines: int | None
) -> None:
    kill_when(tmp_path, artefact, lines)
    assert not list(tmp_path.rglob("results.json"))
    succeeded(run("search.py", *SMALL, folder=tmp_path))
    folder = only_run(tmp_path)
    assert (folder / "search.jsonl").read_bytes() == (only_run(whole) / "search.jsonl").read_bytes()
    assert results(tmp_path) == results(whole)
    assert (folder / "metrics.csv").read_text() == (only_run(whole) / "metrics.csv").read_text()


def kill_when(folder: Path, artefact: str, lines: int | None) -> None:
    """Start the search and kill it, -9, when the artefact is there (with so many lines)."""
    process = subprocess.Popen(
        command("search.py", *SMALL), cwd=folder, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        found = list(folder.glob(f"runs/digits/*/{artefact}"))
        if found and (lines is None or found[0].read_bytes().count(b"\n") >= lines):
            break
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_the_retrain_command_gives_the_same_network(whole: Path) -> None:
    found = json.loads((only_run(whole) / "results.json").read_text())
    python, script, *arguments = shlex.split(found["retrain_command"])
    assert (python, Path(script).name) == ("python", "train.py")
    succeeded(run("train.py", *arguments, "hydra.run.dir=again", "logger.mode=disabled", folder=whole))
    again = json.loads((whole / "again" / "results.json").read_text())
    assert again["test"] == found["winner"]["test"]
    assert again["costs"] == found["winner"]["costs"]


def test_a_supernet_is_searched_again_and_inherited_from(whole: Path) -> None:
    checkpoint = only_run(whole) / "supernet.ckpt"
    succeeded(run("search.py", *SMALL, f"ckpt={checkpoint}", "hydra.run.dir=searched", folder=whole))
    assert (whole / "searched" / "search.jsonl").read_bytes() == (only_run(whole) / "search.jsonl").read_bytes()
    assert not (whole / "searched" / "supernet.ckpt").exists()
    # Neither the seed nor the recipe has anything to do with its weights.
    other = ("seed=7", "task.data.batch_size=32", "task.label_smoothing=0", "hydra.run.dir=other")
    succeeded(run("search.py", "debug=fast", f"ckpt={checkpoint}", *other, folder=whole))
    line = failed_in_one_line(
        run("search.py", "debug=fast", f"ckpt={checkpoint}", "space.head_dim=2", "hydra.run.dir=no", folder=whole)
    )
    assert "made with other settings: space.head_dim is 16 there and 2 here" in line
    arch = only_run(whole) / "best" / "arch.yaml"
    succeeded(run("train.py", *SMALL[::2], f"ckpt={checkpoint}", f"arch={arch}", "hydra.run.dir=tuned", folder=whole))
    assert json.loads((whole / "tuned" / "results.json").read_text())["kind"] == "subnet"


@pytest.mark.parametrize(
    "options",
    [
        ("sharing=independent", "sampling=fair", "schedule=progressive", "space.shift_form=ps"),
        ("sharing=shared", "sampling=sandwich", "search=random", "hardware=fpga_zc706"),
        ("sharing=quantile", "hardware=asic45nm_fix8", "search.max_energy_mj=null", "search.max_num_params=150000"),
    ],
)
def test_options_work_together(options: tuple[str, ...], tmp_path: Path) -> None:
    succeeded(run("search.py", "debug=fast", *options, folder=tmp_path))
    assert (only_run(tmp_path) / "report.html").is_file()


@pytest.mark.parametrize("launcher", [(), ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")])
def test_a_sweep_has_a_folder_for_each_point(launcher: tuple[str, ...], tmp_path: Path) -> None:
    succeeded(run("train.py", "-m", "seed=0,1", "debug=fast", "trainer.max_epochs=1", *launcher, folder=tmp_path))
    runs = [path for path in (tmp_path / "runs" / "digits").iterdir() if path.is_dir()]
    assert len(runs) == 2
    assert {json.loads((path / "results.json").read_text())["seed"] for path in runs} == {0, 1}


def test_a_bad_point_of_a_sweep_is_named(tmp_path: Path) -> None:
    done = run("train.py", "-m", "sharing.num_bins=0,10", "debug=fast", folder=tmp_path)
    assert done.returncode == 1
    assert "sharing.num_bins=0" in done.stderr
    assert "Traceback" not in done.stderr


def test_weights_and_biases_mirrors_a_run_without_an_account(tmp_path: Path) -> None:
    succeeded(run("train.py", "debug=fast", "logger.mode=offline", folder=tmp_path))
    assert list(only_run(tmp_path).glob("wandb/offline-run-*/*.wandb"))


def test_profiling_prints_where_the_time_goes(tmp_path: Path) -> None:
    done = run("train.py", "debug=profile", folder=tmp_path)
    assert "Training of a supernet" in succeeded(done)
    assert "FIT Profiler Report" in done.stderr
    assert "training_step" in done.stderr


def test_a_network_learns_two_batches_by_heart(tmp_path: Path) -> None:
    succeeded(run("train.py", "debug=overfit", "arch=digits_mixed", folder=tmp_path))
    losses = [float(row["train/loss"]) for row in rows(only_run(tmp_path) / "metrics.csv") if row["train/loss"]]
    assert losses[-1] < 0.05
    assert losses[0] > 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupting_is_no_crash(tmp_path: Path, number: signal.Signals, code: int) -> None:
    # A shell's background job ignores interrupts, and so would what it starts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(
        command("train.py", "trainer.max_epochs=500", "logger.mode=disabled"),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    signal.signal(signal.SIGINT, before)
    try:
        deadline = time.monotonic() + 200
        while not list(tmp_path.glob("runs/digits/*/resume/supernet.ckpt")) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == code
    assert "Traceback" not in errors
    assert "goes on where it stopped" in errors


def test_two_processes_train_one_supernet(tmp_path: Path) -> None:
    strategy = "trainer.strategy=ddp_find_unused_parameters_true"
    printed = succeeded(
        run("train.py", "debug=fast", "trainer.devices=2", "trainer.accelerator=cpu", strategy, folder=tmp_path)
    )
    assert printed.count("run folder") == 1
    assert json.loads((only_run(tmp_path) / "results.json").read_text())["kind"] == "supernet"
    steps = [int(row["step"]) for row in rows(only_run(tmp_path) / "metrics.csv")]
    assert steps == sorted(steps)


def test_two_processes_train_one_network(tmp_path: Path) -> None:
    arguments = ("arch=digits_mixed", "trainer.devices=2", "trainer.accelerator=cpu", "trainer.strategy=ddp")
    printed = succeeded(run("train.py", "debug=fast", *arguments, folder=tmp_path))
    assert printed.count("run folder") == 1
    assert json.loads((only_run(tmp_path) / "results.json").read_text())["kind"] == "subnet"


CHIP = """
from shiftaddnas.hardware import Layer, LayerModel, Metric


class Chip(LayerModel):
    metrics = (Metric("energy_mj", "mJ"),)

    def __init__(self, name: str, tap_pj: float, broken: str = "") -> None:
        self.name, self.tap_pj, self.broken = name, tap_pj, broken

    def price(self, layer: Layer) -> dict[str, float]:
        if self.broken and layer.arithmetic == self.broken:
            raise RuntimeError("the chip caught fire")
        return {"energy_mj": layer.num_taps * self.tap_pj / 1e9}
"""


@pytest.fixture
def own_chip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_chip.py").write_text(CHIP)
    (tmp_path / "conf" / "hardware").mkdir(parents=True)
    (tmp_path / "conf" / "hardware" / "chip.yaml").write_text("_target_: my_chip.Chip\nname: chip\ntap_pj: 1.0\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def test_a_cost_of_ones_own_is_searched_with(own_chip: Path) -> None:
    options = ("hardware=chip", "search.max_energy_mj=null", "hydra.run.dir=mine")
    succeeded(run("search.py", "--config-dir", "conf", "debug=fast", *options, folder=own_chip))
    found = json.loads((own_chip / "mine" / "results.json").read_text())
    assert found["hardware"] == "chip"
    assert "--config-dir" in found["command"]
    assert "hardware=chip" in found["retrain_command"]


@pytest.mark.parametrize("broken", ["add", "shift"])
def test_a_cost_that_fails_on_some_layers_spoils_those_archs_alone(own_chip: Path, broken: str) -> None:
    options = ("hardware=chip", f"+hardware.broken={broken}", "search.max_energy_mj=null", "hydra.run.dir=mine")
    succeeded(run("search.py", "--config-dir", "conf", "debug=fast", *options, folder=own_chip))
    records = read_records(own_chip / "mine" / "search.jsonl")
    assert records
    assert all(broken not in record.arch.values() for record in records)


def test_a_cost_that_fails_on_all_archs_is_named(own_chip: Path) -> None:
    options = ("hardware=chip", "+hardware.broken=mult", "search.max_energy_mj=null")
    line = failed_in_one_line(run("search.py", "--config-dir", "conf", "debug=fast", *options, folder=own_chip))
    assert "chip" in line
    assert "caught fire" in line
