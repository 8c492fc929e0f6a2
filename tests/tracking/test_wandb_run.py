import json
import os
import sys
import time

import pytest
import wandb
from PIL import Image

from shiftaddnas.tracking.wandb_run import WandbRun

RECORDS = [
    {
        "index": index,
        "arch_id": f"{index:012x}",
        "arch": {"depth": 1},
        "label": "conv-shift",
        "generation": 0,
        "origin": "random",
        "status": "ok" if index else "failed",
        "score": 0.5 + index / 10 if index else None,
        "metrics": {"accuracy": 0.5} if index else {},
        "costs": {"energy_mj": 0.1 * index, "num_params": 100},
        "message": None,
    }
    for index in range(4)
]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def start(folder, **options):
    arguments = {"mode": "offline", "project": "p", "run_id": "abc-1", "config": {"seed": 1}, **options}
    return WandbRun(folder, **arguments)


def use_everything(run, folder):
    logger = run.logger("retrain/abc")
    logger.log_metrics({"train/loss": 0.25, "epoch": 0}, step=7)
    run.log_candidates(RECORDS)
    run.log_pareto(RECORDS[1:], objective="energy_mj")
    (folder / "arch.yaml").write_text("depth: 1\n")
    run.log_artifact(folder / "arch.yaml", type="arch")
    Image.new("RGB", (2, 2)).save(folder / "pareto.png")
    run.log_pictures([folder / "pareto.png"])
    run.summary({"accuracy": 0.75})
    run.finish()


@pytest.fixture
def warnings(caplog):
    """What this module told the user; W&B's own logger writes to W&B's log file alone."""
    return lambda: [record.getMessage() for record in caplog.records if record.name.startswith("shiftaddnas")]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A working directory and a home that must stay empty."""
    outside = tmp_path / "outside"
    outside.mkdir()
    monkeypatch.chdir(outside)
    monkeypatch.setenv("HOME", str(outside))
    for name in ("WANDB_API_KEY", "WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    return outside


def test_offline_run_is_whole_quiet_and_inside_its_folder(tmp_path, elsewhere, warnings, capfd):
    folder = tmp_path / "run"
    folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    run = start(folder, name="n", group="g", tags=["t"])
    assert run.active
    use_everything(run, folder)
    assert not run.active
    assert warnings() == []
    assert capfd.readouterr() == ("", "")
    assert list(elsewhere.rglob("*")) == []
    assert {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"} == environment
    assert {path.name for path in folder.iterdir()} == {"wandb", "arch.yaml", "pareto.png"}

    (stored,) = folder.glob("wandb/offline-run-*-abc-1/run-abc-1.wandb")
    texts = (b"retrain/abc/train/loss", b"retrain/abc/step", b"arch.yaml", b"accuracy")
    deadline = time.monotonic() + 60  # W&B's own process writes behind
    while (missing := [text for text in texts if text not in stored.read_bytes()]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not missing
    (table,) = folder.glob("wandb/offline-run-*/files/media/table/search/candidates*.json")
    content = json.loads(table.read_text())
    (picture,) = folder.glob("wandb/offline-run-*/files/media/images/pictures/pareto_*.png")
    assert picture.read_bytes() == (folder / "pareto.png").read_bytes()
    column = content["columns"].index("energy_mj")
    assert [row[column] for row in content["data"]] == pytest.approx([0, 0.1, 0.2, 0.3])


def test_two_runs_in_one_process_do_not_mix(tmp_path, elsewhere):
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        run = start(folder, run_id=name)
        use_everything(run, folder)
        assert len(list(folder.glob(f"wandb/offline-run-*-{name}/run-{name}.wandb"))) == 1
    assert list(elsewhere.rglob("*")) == []


@pytest.mark.usefixtures("elsewhere")
def test_online_without_an_account_goes_on_at_once(tmp_path, warnings):
    run = start(tmp_path, mode="online")
    assert not run.active
    (warning,) = warnings()
    assert "W&B could not start" in warning
    assert "API key" in warning
    use_everything(run, tmp_path)
    assert len(warnings()) == 1


def test_disabled_does_not_import_wandb(tmp_path, monkeypatch, warnings):
    monkeypatch.setitem(sys.modules, "wandb", None)
    for run in (start(tmp_path, mode="disabled"), WandbRun.off(tmp_path)):
        assert not run.active
        use_everything(run, tmp_path)
    assert warnings() == []


def test_missing_wandb_is_one_warning(tmp_path, monkeypatch, warnings):
    monkeypatch.setitem(sys.modules, "wandb", None)
    use_everything(start(tmp_path), tmp_path)
    assert len(warnings()) == 1


def test_failing_start_is_one_warning(tmp_path, monkeypatch, warnings):
    def fail(**_):
        raise OSError("no space\nleft")

    monkeypatch.setattr(wandb, "init", fail)
    use_everything(start(tmp_path), tmp_path)
    assert warnings() == ["W&B could not start and is off for the rest of this run: no space left"]


class Broken:
    """A run whose method of this name raises."""

    id = "abc-1"

    def __init__(self, method):
        self.method = method
        self.summary = {}

    def __getattr__(self, name):
        def call(*_, **__):
            if name == self.method:
                raise RuntimeError("lost the service")

        return call


@pytest.mark.parametrize("method", ["define_metric", "log", "log_artifact", "finish"])
def test_failing_call_turns_mirroring_off_with_one_warning(tmp_path, monkeypatch, warnings, method):
    monkeypatch.setattr(wandb, "init", lambda **_: Broken(method))
    run = start(tmp_path)
    assert run.active
    use_everything(run, tmp_path)
    assert not run.active
    (warning,) = warnings()
    assert "lost the service" in warning


def test_other_ranks_mirror_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(wandb, "init", lambda **_: pytest.fail("started"))
    assert not start(tmp_path).active
