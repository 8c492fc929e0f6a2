import json
import os
import re
import signal
import subprocess
import sys

import pytest
import yaml

from shiftaddnas.errors import UserError
from shiftaddnas.tracking import RunFolder, config_hash
from shiftaddnas.tracking.manifest import command_line, git_state

CONFIG = {
    "task": {"name": "digits", "batch_size": 64},
    "search": {"num_evaluations": 10, "limits": [1, 2]},
    "seed": 3,
    "logger": {"project": "p"},
    "paths": {"runs": "runs"},
    "fresh": False,
}


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    yield folder
    folder.close()


def begin(folder, config=CONFIG, **arguments):
    state = folder.open(config, fresh=arguments.pop("fresh", False), **arguments)
    folder.close()
    return state


def content(path):
    return {file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file()}


# The hash


def test_hash_is_twelve_hexadecimal_digits_of_the_content():
    assert re.fullmatch(r"[0-9a-f]{12}", config_hash(CONFIG))
    reordered = {
        key: dict(reversed(value.items())) if isinstance(value, dict) else value for key, value in CONFIG.items()
    }
    assert config_hash(dict(reversed(reordered.items()))) == config_hash(CONFIG)
    assert config_hash(CONFIG | {"seed": 4}) != config_hash(CONFIG)
    assert config_hash(CONFIG | {"search": {"num_evaluations": 10, "limits": [2, 1]}}) != config_hash(CONFIG)


def test_hash_leaves_out_what_changes_no_result():
    other = {"logger": {}, "paths": {"runs": "elsewhere"}, "hydra": {"verbose": True}, "fresh": True}
    assert config_hash(CONFIG | other) == config_hash(CONFIG)
    assert config_hash({"task": CONFIG["task"] | {"fresh": True}}) != config_hash({"task": CONFIG["task"]})


def test_of_a_file_the_content_counts(tmp_path):
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("conv")
    second.write_text("conv")
    before = config_hash(CONFIG | {"arch": str(first)})
    assert config_hash(CONFIG | {"arch": str(second)}) == before
    assert config_hash(CONFIG | {"distill": {"ckpt": str(first)}}) != config_hash(CONFIG | {"distill": {"ckpt": "no"}})
    second.write_text("add")
    assert config_hash(CONFIG | {"arch": str(second)}) != before
    first.write_text("shift, of another size")
    assert config_hash(CONFIG | {"arch": str(first)}) != before
    assert config_hash(CONFIG | {"arch": "a name"}) != config_hash(CONFIG | {"arch": "another name"})


# Opening


def test_states_from_new_to_finished(folder):
    assert begin(folder) == "new"
    assert begin(folder) == "unfinished"
    folder.results.write_text("{}")
    before = folder.manifest.read_text()
    assert begin(folder) == "finished"
    assert folder.manifest.read_text() == before


def test_config_is_written_as_given(folder):
    begin(folder)
    assert yaml.safe_load(folder.config.read_text()) == CONFIG


def test_manifest(folder):
    begin(folder, argv=["search.py", "task=digits", "note=a b"])
    manifest = json.loads(folder.manifest.read_text())
    assert manifest["config_hash"] == config_hash(CONFIG)
    assert manifest["seed"] == 3
    assert manifest["argv"] == ["search.py", "task=digits", "note=a b"]
    assert manifest["command"] == "python search.py task=digits 'note=a b'"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", manifest["date"])
    assert manifest["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"torch", "hydra-core", "numpy"} <= set(manifest["versions"])
    assert manifest["hardware"]["num_cores"] == os.cpu_count()
    assert manifest["resumed"] == []


def test_manifest_holds_no_environment(folder, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "very-secret-value")
    begin(folder)
    assert "very-secret-value" not in folder.manifest.read_text() + folder.config.read_text()


def test_resuming_is_recorded_and_keeps_the_run_id(folder):
    begin(folder)
    first = folder.read_manifest()
    begin(folder, argv=["search.py", "again"])
    second = folder.read_manifest()
    assert folder.run_id == first["run_id"]
    assert [entry["command"] for entry in second["resumed"]] == ["python search.py again"]
    assert {key: second[key] for key in first if key != "resumed"} == {k: v for k, v in first.items() if k != "resumed"}


def test_another_config_is_refused_by_name(folder):
    begin(folder)
    other = {**CONFIG, "task": {"name": "digits", "batch_size": 32}, "optim": {"lr": 1.0}, "logger": {}}
    with pytest.raises(UserError, match=r"differs in optim, task\.batch_size\): use fresh=true"):
        begin(folder, other)
    folder.results.write_text("{}")
    with pytest.raises(UserError, match="holds another run"):
        begin(folder, other)


def test_damaged_manifest_is_an_error_until_fresh(folder):
    begin(folder)
    folder.manifest.write_text("{")
    with pytest.raises(UserError, match="damaged"):
        begin(folder)
    assert begin(folder, fresh=True) == "new"


def test_fresh_removes_the_run_and_nothing_else(folder):
    begin(folder)
    first = folder.run_id
    artefacts = [folder.supernet, folder.search_log, folder.best_arch, folder.results, folder.figures / "pareto.png"]
    artefacts += [folder.baseline("all_cheap"), folder.resume / "supernet.ckpt", folder.path / ".results.json.torn"]
    for path in artefacts:
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
    (folder.wandb / "offline-run").mkdir(parents=True)
    for name in ("notes.txt", "best/mine.txt", "figures/mine.svg"):
        (folder.path / name).write_text("keep")
    other = CONFIG | {"seed": 9}
    assert begin(folder, other, fresh=True) == "new"
    assert content(folder.path) == {"manifest.json", "config.yaml", "notes.txt", "best/mine.txt", "figures/mine.svg"}
    assert not any(path.exists() for path in (folder.wandb, folder.baselines, folder.resume))
    assert yaml.safe_load(folder.config.read_text())["seed"] == 9
    assert folder.run_id != first


@pytest.mark.parametrize("fresh", [True, False])
def test_strangers_files_are_never_touched(folder, fresh):
    folder.path.mkdir()
    (folder.path / "metrics.csv").write_text("theirs")
    (folder.path / "thesis.tex").write_text("theirs")
    with pytest.raises(UserError, match=r"holds metrics\.csv"):
        begin(folder, fresh=fresh)
    assert content(folder.path) == {"metrics.csv", "thesis.tex"}
    (folder.path / "metrics.csv").unlink()
    assert begin(folder, fresh=fresh) == "new"
    assert (folder.path / "thesis.tex").read_text() == "theirs"


def test_other_ranks_only_read(folder, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert begin(folder) == "unfinished"
    assert not folder.path.exists()


# Discarding


def test_discard_removes_a_run_that_was_never_begun(folder):
    (folder.path / ".hydra").mkdir(parents=True)
    (folder.path / ".hydra" / "overrides.yaml").write_text("[]")
    (folder.path / "search.log").write_text("")
    folder.open(CONFIG, fresh=False)
    folder.discard_if_empty()
    assert not folder.path.exists()


@pytest.mark.parametrize("name", ["search.jsonl", "supernet.ckpt", "notes.txt", "other.log"])
def test_discard_keeps_what_was_begun_or_is_a_strangers(folder, name):
    folder.open(CONFIG, fresh=False)
    (folder.path / name).write_text("x")
    folder.discard_if_empty()
    assert content(folder.path) == {"manifest.json", "config.yaml", name}


@pytest.mark.parametrize("opens", [True, False])
def test_discard_keeps_a_strangers_runs_of_weights_and_biases(folder, opens):
    precious = folder.path / "wandb" / "offline-run-1" / "run-1.wandb"
    precious.parent.mkdir(parents=True)
    precious.write_text("theirs")
    if opens:
        with pytest.raises(UserError, match="holds wandb"):
            folder.open(CONFIG, fresh=False)
    folder.discard_if_empty()
    assert precious.read_text() == "theirs"


def test_discard_keeps_a_strangers_empty_folder(folder):
    (folder.path / "notes").mkdir(parents=True)
    folder.open(CONFIG, fresh=False)
    folder.discard_if_empty()
    assert (folder.path / "notes").is_dir()
    assert not content(folder.path)


def test_discard_keeps_a_run_that_another_object_opened(folder):
    begin(folder)
    RunFolder(folder.path).discard_if_empty()
    assert content(folder.path) == {"manifest.json", "config.yaml"}


# Locking

HOLD = """
import sys, time
from pathlib import Path
from shiftaddnas.tracking import RunFolder
RunFolder(Path(sys.argv[1])).open({"task": "x"}, fresh=False)
print("open", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(folder):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder.path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "open\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_process_is_refused_and_told_whom_to_wait_for(folder, holder):
    for fresh in (False, True):
        with pytest.raises(UserError, match=f"being written by process {holder.pid} on "):
            folder.open({"task": "x"}, fresh=fresh)


def test_the_lock_of_a_killed_process_is_taken_over(folder, holder):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (folder.path / ".lock").exists()
    assert folder.open({"task": "x"}, fresh=False) == "unfinished"
    folder.close()
    assert not (folder.path / ".lock").exists()


def test_a_failed_opening_leaves_no_lock(folder):
    begin(folder)
    with pytest.raises(UserError):
        folder.open(CONFIG | {"seed": 9}, fresh=False)
    assert not (folder.path / ".lock").exists()


# Where the code came from


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", folder, *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_git_state(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "code.py").write_text("a = 1\n")
    assert git_state(package) is None
    git(tmp_path, "init")
    assert git_state(package) is None, "untracked, as an environment inside a checkout is"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "first")
    assert git_state(package) == {"revision": git(tmp_path, "rev-parse", "HEAD"), "dirty": False}
    (package / "code.py").write_text("a = 2\n")
    assert git_state(package)["dirty"] is True


def test_command_line_of_an_installed_program():
    assert command_line(["shiftaddnas search", "seed=1"]) == "shiftaddnas search seed=1"


def test_importing_tracking_is_light():
    heavy = ("torch", "pytorch_lightning", "wandb", "matplotlib", "plotly", "hydra")
    code = f"import sys, shiftaddnas.tracking; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
