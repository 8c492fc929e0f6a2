"""`shiftaddnas rank` as a user calls it: supernets and archs of the digits, killed and resumed, and asked again."""

import csv
import json
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import command, environment, failed_in_one_line, run, run_forked, succeeded
from scipy import stats

from composed import built, compose
from shiftaddnas.cli.rank_workers import make_sharing
from shiftaddnas.engine import SupernetEvaluator
from shiftaddnas.engine.checkpoint import load_checkpoint, network_state
from shiftaddnas.spaces import as_choice, write_arch

# Fifteen runs of the command, most of which start processes of their own.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FAST = ("rank", "debug=fast", "num_archs=5", "statistics.best=[3]")
STUDY = (*FAST, "supernets=supernets/*/supernet.ckpt")
MADE = ("standalone.csv", "scores.csv", "ranking.csv")
SCHEMES = ("heterogeneous", "shared")
GUIDE = (Path(__file__).parents[2] / "docs" / "ranking.md").read_text()
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```bash\n(.*?)```", GUIDE, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("shiftaddnas")
]


def shiftaddnas(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return run("shiftaddnas", *arguments, folder=folder)


def study_folder(folder: Path) -> Path:
    (found,) = (folder / "runs" / "digits").iterdir()
    return found


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def results(folder: Path) -> dict[str, Any]:
    """What a study found, without what depends on the clock."""
    found: dict[str, Any] = json.loads((study_folder(folder) / "results.json").read_text())
    return {name: value for name, value in found.items() if name not in ("date", "seconds", "command")}


@pytest.fixture(scope="module")
def supernets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("supernets")
    for scheme in SCHEMES:
        target = f"hydra.run.dir=supernets/{scheme}"
        succeeded(shiftaddnas("train", "debug=fast", f"sharing={scheme}", target, folder=folder))
    return folder / "supernets"


@pytest.fixture(scope="module")
def whole(supernets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(supernets, folder / "supernets")
    (folder / "printed.txt").write_text(succeeded(shiftaddnas(*STUDY, "num_workers=2", folder=folder)))
    return folder


def test_a_study_leaves_what_it_found(whole: Path) -> None:
    folder, found = study_folder(whole), results(whole)
    alone, scores = rows(folder / "standalone.csv"), rows(folder / "scores.csv")
    assert len({row["arch_id"] for row in alone}) == len(alone) == 5
    assert [row["arch_id"] for row in scores] == [row["arch_id"] for row in alone] * 2
    assert [scheme["sharing"] for scheme in found["schemes"]] == [*SCHEMES]
    assert {path.name for path in (folder / "figures").iterdir()} == {f"scatter_{name}.png" for name in SCHEMES}
    page = (folder / "report.html").read_text()
    printed = (whole / "printed.txt").read_text()
    quality = [float(row["test_accuracy"]) for row in alone]
    for scheme in found["schemes"]:
        given = [float(row["accuracy"]) for row in scores if row["sharing"] == scheme["sharing"]]
        tau = stats.kendalltau(quality, given).statistic
        assert scheme["agreement"]["all"]["kendall_tau"]["value"] == pytest.approx(tau, nan_ok=True)
        assert scheme["score_mean"] == pytest.approx(sum(given) / 5)
        assert re.search(rf"{scheme['sharing']} +1 +{scheme['score_mean']:.2%}".replace("%", " %"), printed), printed
        assert f"{tau:.3f} [" in printed
        assert f"{tau:.3f} [" in page
    (row,) = (
        row
        for row in rows(folder / "ranking.csv")
        if row["supernet"].endswith("shared/supernet.ckpt") and row["subset"] == "all"
    )
    assert row["seed"] == "0"
    assert float(row["kendall_tau"]) == found["supernets"][1]["agreement"]["all"]["kendall_tau"]["value"]
    (difference,) = found["differences"]
    assert (difference["first"], difference["second"]) == SCHEMES


def test_an_archs_quality_is_what_training_it_alone_gives(whole: Path, tmp_path: Path) -> None:
    row = rows(study_folder(whole) / "standalone.csv")[3]
    choices = {name: as_choice(choice) for name, choice in json.loads(row["arch"]).items()}
    arch = built("space", "space=digits").arch(choices)
    write_arch(arch, tmp_path / "arch.yaml")
    succeeded(shiftaddnas("train", "debug=fast", "arch=arch.yaml", folder=tmp_path))
    alone = json.loads((study_folder(tmp_path) / "results.json").read_text())
    assert alone["arch_id"] == row["arch_id"]
    assert alone["label"] == row["label"]
    assert alone["test"] == {"accuracy": float(row["test_accuracy"]), "loss": float(row["test_loss"])}


def test_a_score_is_that_of_the_supernets_weights(whole: Path) -> None:
    torch.set_num_threads(1)
    task, space = built("task", "task=digits"), built("space", "space=digits")
    row = rows(study_folder(whole) / "scores.csv")[1]
    content = load_checkpoint(whole / row["supernet"])
    supernet = task.supernet(space, make_sharing(content["config"]["sharing"]))
    supernet.load_weights(network_state(content, "supernet"), "")
    alone = {one["arch_id"]: one for one in rows(study_folder(whole) / "standalone.csv")}[row["arch_id"]]
    arch = space.arch({name: as_choice(choice) for name, choice in json.loads(alone["arch"]).items()})
    found = SupernetEvaluator(supernet, task, task.datamodule())(arch)
    assert found == {"accuracy": float(row["accuracy"]), "loss": float(row["loss"])}


def test_a_killed_study_ends_as_the_uninterrupted_one_with_any_number_of_workers(
    whole: Path, supernets: Path, tmp_path: Path
) -> None:
    shutil.copytree(supernets, tmp_path / "supernets")
    for artefact, num_lines in (("standalone.csv", 3), ("scores.csv", 5)):
        kill_when(tmp_path, artefact, num_lines)
    succeeded(shiftaddnas(*STUDY, "num_workers=1", folder=tmp_path))
    for name in MADE:
        assert (study_folder(tmp_path) / name).read_bytes() == (study_folder(whole) / name).read_bytes()
    assert results(tmp_path) == results(whole)


def kill_when(folder: Path, artefact: str, num_lines: int) -> None:
    """Start the study and kill it, -9, when so many lines are there; its workers end by themselves."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(
        command("shiftaddnas", *STUDY, "num_workers=1"),
        cwd=folder,
        env=environment(),
        **quiet,  # type: ignore[call-overload]
    )
    deadline = time.monotonic() + 200
    while not any(len(path.read_text().splitlines()) >= num_lines for path in folder.glob(f"runs/digits/*/{artefact}")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not list(folder.glob("runs/digits/*/results.json"))
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_finished_study_is_printed_again_and_can_be_asked_more(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    folder = study_folder(tmp_path)
    kept = {name: (folder / name).stat().st_mtime_ns for name in (*MADE, "results.json", "report.html")}
    first_printed = (whole / "printed.txt").read_text()
    first_printed = first_printed[first_printed.index("5 archs of space") :]
    printed = succeeded(shiftaddnas(*STUDY, folder=tmp_path))
    assert printed.splitlines()[:-1] == first_printed.splitlines()[:-1]
    assert str(folder) in printed.splitlines()[-1]
    assert {name: (folder / name).stat().st_mtime_ns for name in kept} == kept

    # Nothing is measured again; scores that are not asked for are put behind the others.
    lines = sorted((folder / "scores.csv").read_text().splitlines())
    succeeded(shiftaddnas(*FAST, "supernets=supernets/shared", "quality=val", "num_archs=4", folder=tmp_path))
    assert (folder / "standalone.csv").stat().st_mtime_ns == kept["standalone.csv"]
    assert sorted((folder / "scores.csv").read_text().splitlines()) == lines
    found = results(tmp_path)
    assert (found["quality"], found["num_archs"], len(found["supernets"])) == ("val", 4, 1)
    quality = [float(row["val_accuracy"]) for row in rows(folder / "standalone.csv")[:4]]
    assert found["standalone"]["mean"] == pytest.approx(sum(quality) / 4)


def test_a_mistake_takes_nothing_from_a_finished_study(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    folder = study_folder(tmp_path)
    names = (*MADE, "results.json", "report.html")
    before = {name: (folder / name).read_bytes() for name in names}
    for mistake in (("statistics.best=[20]", "num_archs=4"), ("quality=tset",), ("num_archs=6000",)):
        failed_in_one_line(run_forked("shiftaddnas", *STUDY, *mistake, folder=tmp_path))
        assert {name: (folder / name).read_bytes() for name in names} == before


MISTAKES = {
    "no supernet": (("supernets=none/*",), ["supernets=none/*: there is nothing of this name"]),
    "fewer archs than the best": (("statistics.best=[20]",), ["num_archs=5 is fewer than statistics.best=[20]"]),
    "more archs than there are": (("num_archs=6000",), ["num_archs=6000 is more than the 5328 archs of space digits"]),
    "another space": (
        ("space.bottleneck=2",),
        ["shared/supernet.ckpt was made with other", "space.bottleneck is 4 there"],
    ),
    "another task": (("task.max_shift=0",), ["shared/supernet.ckpt was made with other", "task.max_shift is 1 there"]),
    "no such part": (("quality=train",), ["quality=train is not allowed; give test or val"]),
    "no workers": (("num_workers=0",), ["num_workers=0"]),
    "several devices": (("trainer.accelerator=cpu", "trainer.devices=2"), ["trainer.devices=2", "num_workers"]),
    "no score": (("trainer.limit_val_batches=0",), ["trainer.limit_val_batches=0 leaves no batch"]),
    "a sharing of its own": (("sharing=shared",), ["sharing"]),
    "misspelt": (("statistics.bst=[3]",), ["statistics.bst is not a setting; did you mean statistics.best?"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_in_one_line_and_nothing_left_behind(mistake: str, supernets: Path, tmp_path: Path) -> None:
    overrides, messages = MISTAKES[mistake]
    done = run_forked("shiftaddnas", *FAST, f"supernets={supernets}/shared", *overrides, folder=tmp_path)
    line = failed_in_one_line(done)
    for message in messages:
        assert message in line
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_table_is_compared(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("arch,a,b\nx,1,2\ny,2,1\nz,3,3\n")
    refused = failed_in_one_line(shiftaddnas("rank", "table=scores.csv", "output=scores.csv/out", folder=tmp_path))
    assert "output=scores.csv/out cannot be written" in refused
    printed = succeeded(shiftaddnas("rank", "table=scores.csv", "output=out", folder=tmp_path))
    assert re.search(r"a +b +all +3 +0\.333 \[", printed), printed
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"ranking.csv", "results.json", "scatter_a_b.png"}
    (row,) = rows(tmp_path / "out" / "ranking.csv")
    assert float(row["kendall_tau"]) == pytest.approx(1 / 3)
    assert row["num_archs"] == "3"
    refused = failed_in_one_line(shiftaddnas("rank", "table=scores.csv", "num_archs=3", folder=tmp_path))
    assert "num_archs is not a setting" in refused


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_a_command_of_the_guide_composes(words: list[str]) -> None:
    if words[1] == "rank":
        is_table = any(word.startswith("table=") for word in words)
        assert compose("rank_table" if is_table else "rank", *words[2:]).seed == 0
