"""Plug-ins of an installed package, used from the command line by their names."""

import csv
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from shiftaddnas.search import read_records

ROOT = Path(__file__).parents[2]
OFF = ("debug=fast", "logger.mode=disabled")


class Shell:
    """A folder in which commands are run, with the package installed."""

    def __init__(self, folder: Path, *site_packages: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, site_packages)),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "100",
        }

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=240,
        )

    def run(self, *arguments: str) -> str:
        done = self.python("-m", "shiftaddnas", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def fail(self, *arguments: str) -> str:
        done = self.python("-m", "shiftaddnas", *arguments)
        assert done.returncode == 1, done.stdout + done.stderr
        (line,) = done.stderr.splitlines()
        return line

    def runs(self) -> list[Path]:
        return sorted(self.folder.glob("runs/digits/*/"))


@pytest.fixture
def shell(installed: Path, tmp_path: Path) -> Shell:
    return Shell(tmp_path, installed)


def total_energy(file: Path) -> float:
    with file.open() as rows:
        return sum(float(row["energy_mj"]) for row in csv.DictReader(rows))


def test_the_packages_own_tests_pass(source: Path, shell: Shell) -> None:
    done = shell.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(source), str(source / "tests"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout


def test_help_lists_the_names_and_imports_none(shell: Shell) -> None:
    (line,) = [line for line in shell.run("search", "--help").splitlines() if line.startswith("hardware: ")]
    # One of them cannot be imported.
    assert {"traffic", "traffic_broken", "eyeriss_fair"} <= set(line.removeprefix("hardware: ").split(", "))


def test_a_wrong_name_lists_them_too(shell: Shell) -> None:
    line = shell.fail("search", "hardware=trafic")
    assert "Could not find 'hardware/trafic'" in line
    assert " traffic " in line


def test_its_settings_are_the_constructors_parameters(shell: Shell) -> None:
    config = yaml.safe_load(shell.run("search", "hardware=traffic", "hardware.word_pj=3", "--cfg", "job"))
    expected = {"_target_": "traffic_cost:TrafficEnergy", "name": "traffic", "word_pj": 3, "tap_pj": None}
    assert config["hardware"] == expected


def test_what_a_command_gives_itself_is_no_setting(shell: Shell) -> None:
    search = yaml.safe_load(shell.run("search", "search=first_come", "--cfg", "job"))["search"]
    assert search == {"_target_": "shiftaddnas.search:RandomSearcher", "num_archs": "???", "law": None}
    line = shell.fail("search", "search=first_come")
    assert line == "error: search.num_archs is missing; set search.num_archs=..."


MISTAKES = {
    "misspelt key": (
        "hardware=traffic hardware.word_p=3",
        ["hardware.word_p is not", "did you mean hardware.word_pj"],
    ),
    "wrong type": ("hardware=traffic hardware.word_pj=abc", ["hardware.word_pj='abc'", "valid number"]),
    "refused value": ("hardware=traffic hardware.word_pj=-1", ["hardware.word_pj=-1"]),
    "broken import": (
        "hardware=traffic_broken",
        ["hardware=traffic_broken", "package shiftaddnas-traffic", "No module named 'traffic_cost_of_tomorrow'"],
    ),
    "wrong type of a sharing scheme": ("sharing=scaled sharing.scale=[1]", ["sharing.scale=[1]", "valid number"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_in_one_line(mistake: str, shell: Shell) -> None:
    arguments, messages = MISTAKES[mistake]
    line = shell.fail("search", *arguments.split())
    assert line.startswith("error: ")
    for message in messages:
        assert message in line
    assert not shell.runs()


def test_a_shipped_config_goes_before_a_plug_in_of_its_name(shell: Shell) -> None:
    done = shell.python("-m", "shiftaddnas", "price", "arch=digits_mixed", "hardware=asic45nm")
    assert done.returncode == 0
    assert "latency" in done.stdout  # which the plug-in does not have
    (note,) = done.stderr.splitlines()
    assert note.startswith("note: hardware=asic45nm is ")
    assert note.endswith("asic45nm.yaml, not the plug-in of package shiftaddnas-traffic")


def test_two_packages_with_one_name_are_both_named(installed: Path, tmp_path: Path) -> None:
    other = tmp_path / "other" / "rival-2.0.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 2.0\n")
    (other / "entry_points.txt").write_text("[shiftaddnas.hardware]\ntraffic = rival:Cost\n")
    line = Shell(tmp_path, installed, other.parent).fail("price", "hardware=traffic")
    assert "hardware=traffic" in line
    assert "package rival" in line
    assert "package shiftaddnas-traffic" in line


@pytest.mark.slow
def test_it_prices_by_its_settings(shell: Shell) -> None:
    sweep = ("hardware=traffic", "hardware.word_pj=0,100", "output=${hardware.word_pj}")
    shell.run("price", "-m", "arch=digits_all_conv", *sweep)
    shell.run("price", "arch=digits_all_conv", "hardware=asic45nm", "output=plain")
    free, dear = (total_energy(shell.folder / name / "layers.csv") for name in ("0", "100"))
    # A multiplication and its addition cost the same in both.
    assert free == pytest.approx(total_energy(shell.folder / "plain" / "layers.csv"))
    assert dear > 2 * free


@pytest.mark.slow
def test_a_search_by_its_name(shell: Shell) -> None:
    arguments = ("hardware=traffic", "hardware.word_pj=3", *OFF)
    shell.run("search", *arguments)
    (run,) = shell.runs()
    results = json.loads((run / "results.json").read_text())
    assert results["hardware"] == "traffic"
    assert {"num_words", "dram_mj"} <= set(results["winner"]["costs"])
    # The recorded commands work when they are pasted, and name the same run or network.
    command = shlex.split(json.loads((run / "manifest.json").read_text())["command"])
    assert command == ["shiftaddnas", "search", *arguments]
    assert "finished" in shell.run(*command[1:])
    shiftaddnas, *again = shlex.split(results["retrain_command"])
    assert (shiftaddnas, again[0]) == ("shiftaddnas", "train")
    shell.run(*again, "hydra.run.dir=again", "logger.mode=disabled")
    retrained = json.loads((shell.folder / "again" / "results.json").read_text())
    assert retrained["test"] == results["winner"]["test"]
    # The script finds the run of the installed command.
    done = shell.python(str(ROOT / "search.py"), *arguments)
    assert (done.returncode, shell.runs()) == (0, [run])
    assert "finished" in done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("plugin", "spoilt", "why"),
    [("traffic_mult_only", "add", "this chip has no adder layers"), ("traffic_nan", "shift", "energy_mj=nan")],
)
def test_a_plug_in_that_fails_on_some_layers_spoils_those_archs_alone(
    plugin: str, spoilt: str, why: str, shell: Shell
) -> None:
    printed = shell.run("search", f"hardware={plugin}", "search.max_energy_mj=null", *OFF)
    (run,) = shell.runs()
    records = read_records(run / "search.jsonl")
    assert records
    assert all(spoilt not in record.arch.values() for record in records)
    (note,) = [line for line in printed.splitlines() if "left out" in line]
    assert f"hardware cost {plugin} " in note
    assert why in note


@pytest.mark.slow
def test_a_launchers_processes_see_it(shell: Shell) -> None:
    parallel = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")
    arguments = ("hardware=traffic", "hardware.word_pj=0,9", "arch=digits_mixed", "trainer.max_epochs=1")
    shell.run("train", "-m", *parallel, *arguments, *OFF)
    commands = [json.loads((run / "manifest.json").read_text())["command"] for run in shell.runs()]
    assert len(commands) == 2
    assert all(command.startswith("shiftaddnas train hardware=traffic hardware.word_pj=") for command in commands)
